"""A contact sheet: a row of images per hospital, each class under its name."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from federated.data.checking.survey import Surveyed
from federated.plots.style import DPI, RC, short

SIDE = 0.85
"""Of an image on the sheet, inches."""
FEWEST = 150
"""Pixels an inch, for the letters."""
NAMES = 1.3
"""For the hospitals' names, inches."""


def save_sheet(sites: tuple[Surveyed, ...], columns: int, path: Path) -> Iterator[str]:
    """Write the sheet as PNG and yield a line per hospital on what it shows.

    Args:
        sites: the hospitals, a row each.
        columns: images of a hospital, the first half of them of class 0.
        path: where to.
    """
    size = (NAMES + columns * SIDE, 0.75 + len(sites) * (SIDE + 0.18))
    with matplotlib.rc_context(RC):
        tight = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
        figure = Figure(figsize=size, layout=tight)
        grid = figure.subplots(len(sites), columns, squeeze=False)
        for row, one in zip(grid, sites, strict=True):
            places = _places(one, columns)
            _row(row, one, places)
            yield f"{one.name}: {', '.join(one.entry.rows['path'][p] for p in places)}"
        figure.suptitle(
            f"{sum(len(one.entry.rows) for one in sites)} images of {len(sites)} hospitals: up to "
            f"{columns} of each, as the network gets them"
        )
        pixels = max(one.entry.pixels.shape[-1] for one in sites)
        # As many as the images have: more would be made up, and only make the file larger.
        figure.savefig(path, dpi=min(DPI, max(FEWEST, pixels / SIDE)), format="png")


def _places(one: Surveyed, columns: int) -> list[int]:
    """Return which images are shown, evenly taken from each class, as many of one as of the other.

    A class with fewer images leaves its places to the other.
    """
    labels = one.entry.rows["label"].to_numpy()
    by_class = [np.flatnonzero(labels == k) for k in range(len(one.summary.classes))]
    most = min(columns, len(labels))
    if len(by_class) > 2:
        shares = np.array_split(np.arange(most), len(by_class))
        pairs = zip(by_class, shares, strict=True)
        return [n for own, share in pairs for n in _evenly(own, min(len(own), len(share)))]
    first = min(len(by_class[0]), max(most // 2, most - len(by_class[1])))
    return [*_evenly(by_class[0], first), *_evenly(by_class[1], most - first)]


def _evenly(places: npt.NDArray[np.int64], count: int) -> list[int]:
    if not count:
        return []
    return [int(p) for p in places[np.linspace(0, len(places) - 1, count).round().astype(int)]]


def _row(row: npt.NDArray[np.object_], one: Surveyed, places: list[int]) -> None:
    for ax in row:
        ax.set_axis_off()
    labels = one.entry.rows["label"]
    told: set[int] = set()
    for ax, place in zip(row, places, strict=False):
        ax.imshow(one.entry.pixels[place], cmap="gray", vmin=0, vmax=255)
        label = int(labels[place])
        if label not in told:
            told.add(label)
            ax.set_title(one.summary.classes[label], loc="left", pad=2)
    _name(row[0], short(one.name))


def _name(ax: Axes, name: str) -> None:
    ax.text(-0.12, 0.5, name, transform=ax.transAxes, ha="right", va="center")
