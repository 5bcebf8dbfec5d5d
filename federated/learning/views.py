"""How evaluation shows an image: cropped at the scale of training, or whole and made smaller.

Training crops an image out of a larger one, and so sees the lung at that scale. The published code
evaluates whole images resized to the network's input, which are smaller in scale by R / S.
"""

from collections.abc import Iterator

from torch import Tensor

from federated.config.schema import Config
from federated.learning.batches import evaluation_batch
from federated.learning.normalising import normalise_levels

FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))
"""Axes of (B, R, R) that are flipped: none, upside down, left to right, both."""

MOST_VIEWS = 5 * len(FLIPS)
"""Views of ``crops`` where there is room to crop."""


def round_view(config: Config) -> str:
    """Return how a round's model is shown images: one look, since it is taken every round."""
    return "whole" if _whole(config) else "centre"


def final_view(config: Config) -> str:
    """Return how the models at the end are shown images."""
    return "whole" if _whole(config) else config.eval.views


def _whole(config: Config) -> bool:
    # Without augmentation training itself sees whole images.
    return config.eval.views == "whole" or not config.train.augment


def evaluation_views(pixels: Tensor, size: int, kind: str) -> Iterator[Tensor]:
    """Yield a batch of images as each view shows it, normalised.

    Args:
        pixels: uint8 (B, R, R); for crops R >= size.
        size: Side S of the network's input.
        kind: ``whole``: resized. ``centre``: the crop in the middle. ``crops``: that and the four
            in the corners, each as it is and flipped in both directions, as training flips: 20
            views, or 4 where R = S.

    Yields:
        float32 (B, 3, S, S).
    """
    if kind == "whole":
        yield evaluation_batch(pixels, size)
        return
    room = pixels.shape[1] - size
    corners = [(0, 0), (0, room), (room, 0), (room, room)] if kind == "crops" else []
    # Without room to crop all five are the same.
    for top, left in dict.fromkeys([(room // 2, room // 2), *corners]):
        crop = pixels[:, top : top + size, left : left + size]
        for axes in FLIPS if kind == "crops" else FLIPS[:1]:
            yield normalise_levels(crop.flip(axes))
