"""From grey uint8 images to training batches, as whole tensors; no loop over images."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.config.training import Train

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Images:
    """A split: uint8 pixels (N, R, R), labels (N,), and the side of the network's input."""

    pixels: npt.NDArray[np.uint8]
    labels: Tensor
    size: int

    def __len__(self) -> int:
        return len(self.labels)


class Batch(NamedTuple):
    """A batch of B images on the device: inputs (B, 3, S, S), classes (B,), numbers (B,)."""

    x: Any
    labels: Tensor
    ids: Tensor


def epoch_order(labels: npt.NDArray[np.int64], sampling: str, generator: torch.Generator) -> Tensor:
    """Return the order in which an epoch visits the images.

    Args:
        labels: (N,) classes.
        sampling: ``natural``: a permutation of all images. ``balanced``: N draws in which every
            class that is present is equally likely, with replacement.
        generator: Source of randomness.

    Returns:
        int64 (N,).
    """
    if sampling == "natural":
        return torch.randperm(len(labels), generator=generator)
    weights = 1.0 / torch.bincount(torch.from_numpy(labels))[torch.from_numpy(labels)]
    return torch.multinomial(weights, len(labels), replacement=True, generator=generator)


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """Cut ``count`` images into batches so that each image is used and none is alone.

    A last batch of one has no batch statistics and no positive pair, so it joins the one before.
    """
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of batches of ``batch_slices``."""
    return len(batch_slices(count, batch_size))


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


def training_batch(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return a normalised batch, each image cropped at random and flipped in both directions.

    Args:
        images: uint8 (B, R, R) with R >= size.
        size: Side S of the crop.
        generator: CPU generator; four draws per image.

    Returns:
        float32 (B, 3, S, S) on the device of ``images``.
    """
    count, side = images.shape[0], images.shape[1]
    room = side - size + 1
    draw = torch.rand(4, count, generator=generator).to(images.device)
    offset = (draw[:2] * room).long().clamp(max=room - 1)  # (2, B)
    steps = torch.arange(size, device=images.device)
    mirrored = size - 1 - steps
    flip = (draw[2:] < 0.5).unsqueeze(-1)  # (2, B, 1)
    index = offset.unsqueeze(-1) + torch.where(flip, mirrored, steps)  # (2, B, S)
    first_row = side * torch.arange(count, device=images.device).unsqueeze(1)
    # Rows first, because they are copied whole: by index_select, which [...] is five times slower.
    rows = images.view(-1, side).index_select(0, (first_row + index[0]).flatten())
    columns = index[1].unsqueeze(1).expand(-1, size, -1)
    return normalise_levels(rows.view(count, size, side).gather(2, columns))


def evaluation_batch(images: Tensor, size: int) -> Tensor:
    """Return a normalised batch of whole images, resized to ``size`` (antialiased bilinear).

    Args:
        images: uint8 (B, R, R).
        size: Side S of the network's input.

    Returns:
        float32 (B, 3, S, S).
    """
    if images.shape[1] == size:
        return normalise_levels(images)
    resized = F.interpolate(
        images.float().unsqueeze(1),
        (size, size),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return normalise(resized.squeeze(1))


def evaluation_slices(count: int, batch_size: int) -> Iterator[slice]:
    """Yield the slices of an evaluation pass; a lone image is fine there."""
    for index in range(math.ceil(count / batch_size)):
        yield slice(index * batch_size, min((index + 1) * batch_size, count))


def load_batch(
    images: Images, ids: Tensor, device: torch.device, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Return inputs (B, 3, S, S) and labels (B,) on ``device``; augmented if given a generator."""
    ids = ids.cpu()  # a memory on a GPU asks for its images too
    pixels = torch.from_numpy(images.pixels[ids.numpy()]).to(device, non_blocking=True)
    if generator is None:
        x = evaluation_batch(pixels, images.size)
    else:
        x = training_batch(pixels, images.size, generator)
    return x.contiguous(memory_format=torch.channels_last), images.labels[ids].to(device)


def steps_of_round(count: int, train: Train) -> int:
    """Return the optimiser steps of a round over ``count`` images.

    Exactly ``max-steps`` where it is set, however few images there are; else ``local-epochs``.
    """
    return train.max_steps or train.local_epochs * steps_per_epoch(count, train.batch_size)


def endless(labels: Tensor, train: Train, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the image numbers of batch after batch, epoch after epoch, each newly shuffled."""
    while True:
        order = epoch_order(labels.numpy(), train.sampling, generator)
        yield from (order[batch] for batch in batch_slices(len(order), train.batch_size))


def round_batches(
    images: Images, train: Train, generator: torch.Generator, device: torch.device
) -> Iterator[Batch]:
    """Yield the batches of a round, ``steps_of_round`` of them.

    Args:
        images: The training split.
        train: Batch size, sampling, augmentation and length of the round.
        generator: CPU generator of batch order and augmentation.
        device: Where the batches go.
    """
    numbers = endless(images.labels, train, generator)
    for ids in islice(numbers, steps_of_round(len(images), train)):
        x, labels = load_batch(images, ids, device, generator if train.augment else None)
        yield Batch(x, labels, ids)
