"""Test images that a hospital's model told rightly, and some that it did not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federated.data.classes import class_words
from federated.errors import UserError
from federated.plots.numbers import NothingToDrawError, values
from federated.plots.patients import showable
from federated.plots.style import DOUBLE, SINGLE, short, styled
from federated.runs.reading import Run
from federated.unseen.explained import grey, middle_view
from federated.unseen.judged import Judged, judged

MOST_SITES = 4
EACH = 4
"""Hits and misses of a hospital."""
HIT, MISS = "#0072B2", "#D55E00"


class Example(NamedTuple):
    """An image (S, S), whether it was told rightly, and what is written over it."""

    image: npt.NDArray[np.float64]
    is_hit: bool
    title: str


@styled
def examples(run: Run, *, patients: bool = False, width: float = DOUBLE) -> Figure:
    """Draw the hits and the misses that hospitals' final models were surest of.

    Under the last of the run's methods and its first seed, at the threshold that each hospital's
    validation images chose; of more than four hospitals those with the lowest test AUC.

    Args:
        run: The run.
        patients: Whether patients are shown, too, and not phantoms alone (``showable``).
        width: Of the figure in inches.

    Raises:
        NothingToDrawError: predictions or images are not here, or are patients'.
    """
    method, seed = run.study.common.methods[-1], run.study.common.seeds[0]
    each = EACH if width > SINGLE else EACH // 2
    sites = _lowest(run, method, showable(run, patients=patients))
    try:
        rows = {site: _examples(run, site, method, seed, each) for site in sites}
    except UserError as error:
        raise NothingToDrawError(str(error)) from error
    side = (width - 0.25) / (2 * each)
    figure = Figure(figsize=(width, 0.4 + len(rows) * (side + 0.35)), dpi=120, layout="constrained")
    grid = figure.subplots(len(rows), 2 * each, squeeze=False)
    for line, (site, shown) in zip(grid, rows.items(), strict=True):
        for ax in line:
            ax.set_axis_off()
        _fill(line[:each], [one for one in shown if one.is_hit], f"{short(site, 16)}: hits")
        _fill(line[each:], [one for one in shown if not one.is_hit], "misses")
    figure.suptitle(f"Test images under {short(method)}, seed {seed}: p, and what each image is")
    return figure


def _lowest(run: Run, method: str, sites: Sequence[str]) -> list[str]:
    """Return the hospitals that are shown, in name order."""
    frame = values(run, "auc", "test", "final")
    means = frame[frame["method"] == method].groupby("site")["value"].mean()
    there = means[means.index.isin(sites)].sort_values(kind="stable")
    if there.empty:
        raise NothingToDrawError(f"{run.folder} has tested no final model of {method}.")
    return sorted(map(str, there.index[:MOST_SITES]))


def _examples(run: Run, site: str, method: str, seed: int, each: int) -> list[Example]:
    known = judged(run, site, method, seed, "final")
    words = class_words(run.study.common, site)
    shown = []
    for is_hit in (True, False):
        numbers = known.surest(each, right=is_hit)
        if not numbers:
            continue
        images = grey(middle_view(run.study.by_method[method], known.split, numbers))
        shown += [
            Example(image, is_hit, _title(known, number, words))
            for number, image in zip(numbers, images, strict=True)
        ]
    return shown


def _title(known: Judged, number: int, words: tuple[str, ...]) -> str:
    return f"{known.scores[number]:.2f} {short(words[known.split.labels[number]], 12)}"


def _fill(line: npt.NDArray[np.object_], shown: list[Example], name: str) -> None:
    """Show images side by side, each in a frame of its kind, the first under the row's name."""
    for place, ax in enumerate(line):
        if place < len(shown):
            _show(ax, shown[place])
    first = line[0]
    first.set_title(f"{name}{'' if shown else ': none'}", loc="left")


def _show(ax: Axes, one: Example) -> None:
    ax.set_axis_on()
    ax.grid(visible=False)
    ax.imshow(one.image, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=True, color=HIT if one.is_hit else MISS, linewidth=1.2)
    ax.set_xlabel(one.title, fontsize=5.5, labelpad=1.5)
