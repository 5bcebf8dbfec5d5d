"""How training shows images: cropped and flipped as published, or changed more.

One function a kind, an entry of ``AUGMENTATIONS`` and a choice of ``train.augmentation``.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.config.training import Train
from federated.learning.normalising import normalise, normalise_levels

LEAST_SCALE = 0.85
"""Side of the smallest crop of ``strong``, in sides of the network's input."""
ANGLE, CONTRAST, GAMMA = 10, 0.2, 0.2
"""Largest rotation in degrees, and largest change of contrast and of the logarithm of gamma."""
PATCH, PATCHED = (0.1, 0.3), 0.25
"""Sides of a blank patch in sides of the crop, and the share of images that have one."""

Augmentation = Callable[[Tensor, int, torch.Generator], Tensor]
Show = Callable[[Tensor, int], Tensor]
"""From uint8 (B, R, R) and a side S to a normalised batch (B, 3, S, S)."""


def cropped_and_flipped(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
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


def changed_more(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return a normalised batch that also differs in scale, angle, contrast, gamma and a patch.

    A square of ``LEAST_SCALE`` times the network's input up to the whole image, turned by up to
    ``ANGLE`` degrees and flipped as the published crops are, is resampled bilinearly (scale and
    place: random resized crops of Szegedy et al., CVPR 2015, by sides and without change of the
    aspect ratio); then contrast and gamma change, and some images get a patch of their mean grey
    (random erasing: Zhong et al., AAAI 2020, arXiv 1708.04896).

    Args:
        images: uint8 (B, R, R) with R >= size.
        size: Side S of the network's input.
        generator: CPU generator; thirteen draws per image.

    Returns:
        float32 (B, 3, S, S) on the device of ``images``.
    """
    draw = torch.rand(13, len(images), generator=generator).to(images.device)
    grey = images.float().unsqueeze(1) / 255
    places = F.affine_grid(
        squares(draw[:6], images.shape[1], size),
        [len(images), 1, size, size],
        align_corners=False,
    )
    seen = F.grid_sample(grey, places, padding_mode="reflection", align_corners=False).squeeze(1)
    mean = seen.mean(dim=(1, 2), keepdim=True)
    contrast = (1 + CONTRAST * (2 * draw[6] - 1)).view(-1, 1, 1)
    gamma = (GAMMA * (2 * draw[7] - 1)).exp().view(-1, 1, 1)
    seen = (mean + contrast * (seen - mean)).clamp(0, 1)
    return normalise(255 * torch.where(patches(draw[8:], size), mean, seen) ** gamma)


def squares(draw: Tensor, side: int, size: int) -> Tensor:
    """Return which square of each image is seen, as maps from output to input, (B, 2, 3).

    Args:
        draw: (6, B) uniform: scale, angle, place (2) and flips (2).
        side: Of the images, R.
        size: Of the network's input, S.
    """
    scale = (math.log(LEAST_SCALE * size / side) * (1 - draw[0])).exp()  # of the image's side
    angle = math.radians(ANGLE) * (2 * draw[1] - 1)
    place = (1 - scale) * (2 * draw[2:4] - 1)
    across, down = 1 - 2 * (draw[4:6] < 0.5).float()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    x, y = (across * cos, -down * sin, place[0]), (across * sin, down * cos, place[1])
    return torch.stack((torch.stack(x), torch.stack(y))).permute(2, 0, 1)


def patches(draw: Tensor, size: int) -> Tensor:
    """Return which pixels are blank, (B, S, S).

    Args:
        draw: (5, B) uniform: whether there is a patch, its sides (2) and its place (2).
        size: Side S.
    """
    sides = size * (PATCH[0] + (PATCH[1] - PATCH[0]) * draw[1:3])
    first = draw[3:5] * (size - sides)
    steps = torch.arange(size, device=draw.device)
    inside = (steps >= first.unsqueeze(-1)) & (steps < (first + sides).unsqueeze(-1))  # (2, B, S)
    return (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)) & (draw[0] < PATCHED).view(-1, 1, 1)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "published": cropped_and_flipped,
    "strong": changed_more,
}
"""By the choices of ``train.augmentation``."""


def training_view(train: Train, generator: torch.Generator) -> Show | None:
    """Return how training shows images; None: whole, as evaluation may.

    Args:
        train: With ``augment`` and ``augmentation``.
        generator: CPU generator, of which each batch takes some draws.
    """
    if not train.augment:
        return None
    augmented = AUGMENTATIONS[train.augmentation]
    return lambda images, size: augmented(images, size, generator)
