"""A hospital's images as counts in bins that everybody knows, for its answer to the server."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from federated.data.entry import CacheEntry
from federated.exchange.statistics import ALONE, CLASSES, EDGES, GREY, GREYS, PATIENTS, SIZES

SAMPLE = 64
"""Images that are counted at once."""


def described(entry: CacheEntry, left_out: int, classes: int) -> dict[str, float]:
    """Return the counts of all images of a hospital, whatever their split, and mean grey shares.

    Args:
        entry: Its images and what is known of them.
        left_out: Files that could not be used.
        classes: How many classes there are.
    """
    rows = entry.rows
    by_class = np.bincount(rows["label"].to_numpy(np.int64), minlength=classes)
    shorter = np.minimum(rows["width"].to_numpy(), rows["height"].to_numpy())
    by_size = np.bincount(np.searchsorted(EDGES, shorter, "right"), minlength=len(SIZES))
    known = int((rows["patient"].fillna("").astype(str) != "").sum())
    alone = (rows["group"].nunique(), left_out)
    numbers = [
        *zip(CLASSES, by_class, strict=False),
        *zip(SIZES, by_size, strict=True),
        *zip(PATIENTS, (known, len(rows) - known), strict=True),
        *zip(ALONE, alone, strict=True),
        *zip(GREY, grey_shares(entry.pixels).mean(axis=0), strict=True),
    ]
    return {name: float(value) for name, value in numbers}


def grey_shares(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the share of each image's pixels in 16 steps from black to white, (N, 16)."""
    parts = []
    for start in range(0, len(pixels), SAMPLE):
        steps = (pixels[start : start + SAMPLE] // (256 // GREYS)).reshape(-1, pixels[0].size)
        parts.append(np.stack([(steps == step).mean(axis=1) for step in range(GREYS)], axis=1))
    return np.concatenate(parts)
