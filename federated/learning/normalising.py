"""Grey levels as the network's input: ImageNet's mean and deviation, in three equal channels."""

from functools import cache

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(grey: Tensor) -> Tensor:
    """Return float (B, 3, S, S) with ImageNet's mean and deviation from grey (B, S, S) in 0..255.

    The three channels are the same grey image, as published.
    """
    mean = grey.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = grey.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (grey.unsqueeze(1) / 255 - mean) / std


@cache
def level_table(device: torch.device) -> Tensor:
    """Return ``normalise`` of the grey levels 0 to 255: (3, 256), kept for the next batch."""
    return normalise(torch.arange(256, device=device).float().view(1, 1, 256))[0, :, 0]


def normalise_levels(grey: Tensor) -> Tensor:
    """Return ``normalise`` of uint8 (B, S, S) to the bit, looked up in a table of its 256 levels.

    The channels of a pixel come to lie side by side (torch's channels_last), as convolutions
    want them; computed and then moved there, they cost over twice as much.
    """
    table, levels = level_table(grey.device), grey.int().flatten()
    found = table.new_empty((*grey.shape, 3))
    # Channel by channel, because torch finds numbers faster than rows of three.
    for plane, channel in zip(table, found.view(-1, 3).unbind(1), strict=True):
        torch.index_select(plane, 0, levels, out=channel)
    return found.permute(0, 3, 1, 2)
