"""Where the models put the images: a map of hospitals and classes, before training and after."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.data.classes import class_words
from federated.errors import UserError
from federated.plots.numbers import NothingToDrawError
from federated.plots.patients import showable
from federated.plots.style import (
    DOUBLE,
    SITE_COLOURS,
    Look,
    legend_below,
    panels,
    short,
    site_looks,
    styled,
)
from federated.runs.once import once
from federated.runs.reading import Run
from federated.unseen.embedded import embedded

Points = npt.NDArray[np.float64]

WHEN = ("before", "after")
DOT: dict[str, Any] = {"ls": "", "ms": 2.6, "alpha": 0.75}
CLASSES = site_looks(["0", "1"])


@once
def embedding_map(run: Run, method: str, seed: int, *, patients: bool = False) -> pd.DataFrame:
    """Return where the hospitals' test images lie on their first two principal components.

    Each image goes through the kept model of its own hospital. Of more than eight hospitals as
    many are there, evenly through their names. Before and after training have components of their
    own.

    Args:
        run: The run.
        method: Of the run.
        seed: Of the run.
        patients: Whether patients are there, too, and not phantoms alone (``showable``).

    Returns:
        Columns when (before, after), site, label, first, second, and the shares of the variance
        first_share, second_share; a row an image.

    Raises:
        NothingToDrawError: models or images are not here, or are patients'.
    """
    sites = _evenly(showable(run, patients=patients))
    try:
        found = {site: embedded(run, site, method, seed) for site in sites}
    except UserError as error:
        raise NothingToDrawError(str(error)) from error
    rows = pd.DataFrame(
        {
            "site": np.repeat(sites, [len(one.labels) for one in found.values()]),
            "label": np.concatenate([one.labels for one in found.values()]),
        }
    )
    parts = []
    for when in WHEN:
        points, shares = principal(np.concatenate([getattr(one, when) for one in found.values()]))
        parts.append(
            rows.assign(
                when=when,
                first=points[:, 0],
                second=points[:, 1],
                first_share=shares[0],
                second_share=shares[1],
            )
        )
    return pd.concat(parts, ignore_index=True)


@styled
def embeddings(
    run: Run, method: str, seed: int, *, patients: bool = False, width: float = DOUBLE
) -> Figure:
    """Draw ``embedding_map``: above before training, below after it.

    On the left the colour is the hospital, on the right the class.

    Raises:
        NothingToDrawError: models or images are not here, or are patients'.
    """
    frame = embedding_map(run, method, seed, patients=patients)
    looks = site_looks(map(str, frame["site"].unique()))
    figure, axes = panels(4, width=width, sharex=False, sharey=False, square=True)
    for row, when in enumerate(WHEN):
        _draw(axes[2 * row : 2 * row + 2], frame[frame["when"] == when], looks)
        axes[2 * row].set_title(f"{when} training: hospitals")
        axes[2 * row + 1].set_title(f"{when} training: classes")
    every = len(showable(run, patients=patients))
    some = f"; {len(looks)} of {every} hospitals" if len(looks) < every else ""
    figure.suptitle(f"Embeddings of test images: {short(method)}, seed {seed}{some}")
    words = class_words(run.study.common)
    named = dict(zip(words, CLASSES.values(), strict=True))
    legend_below(figure, [*_dots(looks), *_dots(named, filled=False)])
    return figure


def principal(points: Points) -> tuple[Points, Points]:
    """Return the first two principal components of points (n, d), and their shares of the variance.

    The sign of a component is that in which its largest loading is positive.

    Returns:
        (n, 2) and (2,); zeros where the points have fewer than two dimensions or are all alike.
    """
    centred = points - points.mean(axis=0)
    _, lengths, loadings = np.linalg.svd(centred, full_matrices=False)
    first = np.zeros((2, points.shape[1]))
    first[: len(loadings[:2])] = loadings[:2]
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=1)[:, None], axis=1)
    whole = float((lengths**2).sum())
    shares = np.zeros(2)
    shares[: len(lengths[:2])] = lengths[:2] ** 2 / whole if whole > 0 else 0.0
    return centred @ (first * np.where(largest < 0, -1.0, 1.0)).T, shares


def _evenly(sites: Sequence[str]) -> list[str]:
    """Return at most as many hospitals as there are colours."""
    most = min(len(sites), len(SITE_COLOURS))
    return [sites[place] for place in np.linspace(0, len(sites) - 1, most).round().astype(int)]


def _draw(axes: Sequence[Axes], frame: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    for site, look in looks.items():
        _scatter(axes[0], frame[frame["site"] == site], look, filled=True)
    for label, look in enumerate(CLASSES.values()):
        _scatter(axes[1], frame[frame["label"] == label], look, filled=False)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"1st component ({frame['first_share'].iloc[0]:.0%})")
        ax.set_ylabel(f"2nd component ({frame['second_share'].iloc[0]:.0%})")


def _scatter(ax: Axes, rows: pd.DataFrame, look: Look, *, filled: bool) -> None:
    ax.plot(rows["first"], rows["second"], **_dot(look, filled=filled))


def _dots(looks: Mapping[str, Look], *, filled: bool = True) -> list[Line2D]:
    return [
        Line2D([], [], label=short(name), **_dot(look, filled=filled))
        for name, look in looks.items()
    ]


def _dot(look: Look, *, filled: bool) -> dict[str, Any]:
    face = look.colour if filled else "none"
    edge = 0.3 if filled else 0.7
    return {"color": look.colour, "marker": look.marker, "mfc": face, "mew": edge, **DOT}
