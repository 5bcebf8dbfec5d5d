"""The findings as a picture: who has how many images of what, how bright, and of what size."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federated.data.checking.survey import BINS, Surveyed
from federated.data.site import SPLITS
from federated.data.sources.labels import UNNAMED
from federated.plots.style import DOUBLE, DPI, LINES, RC, SITE_COLOURS

NAMED = 8  # sites that a legend can hold
SHADES = {"train": 1.0, "val": 0.6, "test": 0.35}
COLOURS = ("#0072B2", "#D55E00")
"""Of the classes 0 and 1."""


def save_picture(sites: tuple[Surveyed, ...], path: Path) -> None:
    """Write the picture as PNG."""
    height = max(2.6, 1.2 + 0.2 * len(sites))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(DOUBLE, height), layout="constrained")
        labels, greys, sizes = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
        handles = _labels(labels, sites)
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
        _greys(greys, sites)
        if len(sites) <= NAMED:
            figure.legend(handles=list(greys.lines), loc="outside lower right", ncols=3)
        _sizes(sizes, sites)
        figure.savefig(path, dpi=DPI, format="png")


def _labels(axes: Axes, sites: tuple[Surveyed, ...]) -> list[Any]:
    """Draw the images per site: class 0 to the left, class 1 to the right, splits by shade."""
    handles: list[Any] = []
    both = {one.summary.classes for one in sites}
    names = both.pop() if len(both) == 1 else UNNAMED  # hospitals may name them differently
    places = np.arange(len(sites))[::-1]
    for label, (name, colour) in enumerate(zip(names, COLOURS, strict=True)):
        start = np.zeros(len(sites))
        for split in SPLITS:
            counts = np.array([surveyed.summary.counts[split][label] for surveyed in sites])
            side = 1 if label else -1
            look: dict[str, Any] = {
                "color": colour,
                "alpha": SHADES[split],
                "label": f"{name}, {split}",
            }
            handles.append(axes.barh(places, side * counts, left=side * start, **look))
            start += counts
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(places, [surveyed.name for surveyed in sites])
    axes.xaxis.set_major_formatter(lambda value, place: f"{abs(value):g}")
    axes.set(title="Labels per site and split", xlabel="images")
    return handles


def _greys(axes: Axes, sites: tuple[Surveyed, ...]) -> None:
    middles = (np.arange(BINS) + 0.5) * 256 / BINS
    for number, surveyed in enumerate(sites):
        axes.plot(
            middles,
            100 * surveyed.histogram(),
            color=SITE_COLOURS[number % len(SITE_COLOURS)],
            linestyle=LINES[number % len(LINES)],
            label=surveyed.name,
        )
    axes.set(
        title="Greys", xlabel="grey value", ylabel="% of pixels", xlim=(0, 256), ylim=(0, None)
    )


def _sizes(axes: Axes, sites: tuple[Surveyed, ...]) -> None:
    for number, surveyed in enumerate(sites):
        rows = surveyed.entry.rows
        axes.plot(
            rows["width"],
            rows["height"],
            ".",
            markersize=2,
            alpha=0.5,
            color=SITE_COLOURS[number % len(SITE_COLOURS)],
        )
    axes.set(title="Sizes of the files' images", xlabel="width, pixels", ylabel="height, pixels")
    axes.set(xlim=(0, None), ylim=(0, None))
