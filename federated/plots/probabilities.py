"""Whether the models' probabilities mean what they say, and whether acting on them is of use."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federated.plots import lines
from federated.plots.numbers import of_two_classes
from federated.plots.style import (
    DOUBLE,
    Look,
    label_lowest,
    label_rows,
    legend_below,
    method_looks,
    panels,
    short,
    styled,
)
from federated.plots.tested import methods_of, tested
from federated.runs.reading import Run
from federated.statistics import calibration
from federated.statistics.interval import TAIL, Floats
from federated.statistics.scored import Scored

DRAWS = 500
"""Of a band, whose ends are read off a figure."""
MOST_BANDS = 3
"""These bands are wide; more of them hide the lines."""
GREY = "#999999"


def reliability(run: Run, model: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw the share of positives by predicted probability of a run's test images.

    Raises:
        NothingToDrawError: no site's predictions are readable here.
    """
    of_two_classes(run, "the reliability plot")
    models, sites, note = tested(run, model)
    return reliability_figure(models, sites, note, width=width)


def decision_curve(run: Run, model: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw the net benefit over thresholds on a run's test images.

    Raises:
        NothingToDrawError: no site's predictions are readable here.
    """
    of_two_classes(run, "a decision curve")
    models, sites, note = tested(run, model)
    return decision_figure(models, sites, note, width=width)


@styled
def reliability_figure(
    models: Sequence[Scored], sites: Sequence[str], note: str = "", *, width: float = DOUBLE
) -> Figure:
    """Draw the share of positives by predicted probability, a panel per site, a line per method.

    Ten bins of equal width, the images of all seeds together; bands are of 95 % over groups of
    images, all seeds of an image drawn together. The diagonal is what was promised.
    """

    def draw(ax: Axes, models: list[Scored], looks: dict[str, Look]) -> None:
        ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        for one in models:
            told, found, band = reliability_of(one)
            _line(ax, told, found, band if len(looks) <= MOST_BANDS else None, looks[one.method])

    figure = _by_site(models, sites, draw, ("probability", "share of positives"), width=width)
    if note:
        figure.suptitle(note)
    return figure


@styled
def decision_figure(
    models: Sequence[Scored], sites: Sequence[str], note: str = "", *, width: float = DOUBLE
) -> Figure:
    """Draw the net benefit over thresholds, a panel per site and a line per method.

    Means over seeds; bands are of 95 % over groups of images and seeds. Grey lines: to act on
    everybody (falling) and on nobody (0).
    """

    def draw(ax: Axes, models: list[Scored], looks: dict[str, Look]) -> None:
        labels = models[0].labels
        once = np.ones((1, len(labels)))
        everybody = calibration.net_benefit(np.ones(len(labels)), labels, once)[0]
        ax.plot(calibration.ODDS, everybody, color=GREY, linewidth=0.8)
        ax.axhline(0, color=GREY, linewidth=0.8)
        share = max(0.1, float((labels == 1).mean()))
        ax.set(xlim=(0, 1), ylim=(-0.35 * share, 1.1 * share))
        for one in models:
            mean, band = net_benefit_of(one)
            shown = band if len(looks) <= MOST_BANDS else None
            _line(ax, calibration.ODDS, mean, shown, looks[one.method])

    axes_of = ("threshold of probability", "net benefit")
    figure = _by_site(models, sites, draw, axes_of, width=width)
    if note:
        figure.suptitle(note)
    return figure


def reliability_of(one: Scored) -> tuple[Floats, Floats, Floats]:
    """Return mean probability and share of positives by bin, (BINS,), and its band (2, BINS)."""
    seeds = len(one.seeds)
    scores, labels = one.scores.ravel(), np.tile(one.labels, seeds)
    told, found = calibration.reliability(scores, labels, np.ones((1, len(scores))))
    weights = np.tile(one.weights[:DRAWS], (1, seeds))
    _, drawn = calibration.reliability(scores, labels, weights)
    return told[0], found[0], _band(drawn)


def net_benefit_of(one: Scored) -> tuple[Floats, Floats]:
    """Return the mean net benefit over seeds at each threshold, (T,), and its band (2, T)."""
    once = np.ones((1, len(one.labels)))
    weights, shares = one.weights[:DRAWS], one.seed_weights[:DRAWS]
    means = [calibration.net_benefit(scores, one.labels, once)[0] for scores in one.scores]
    drawn = [calibration.net_benefit(scores, one.labels, weights) for scores in one.scores]
    mixed = np.einsum("sdt,ds->dt", np.stack(drawn), shares)
    return np.mean(means, axis=0), _band(mixed)


def _band(drawn: Floats) -> Floats:
    """Return the (2, k) ends of (draws, k) replicates; NaN where most of them are undefined."""
    known = np.isfinite(drawn).mean(axis=0) > 0.5
    band = np.full((2, drawn.shape[1]), np.nan)
    band[:, known] = np.nanquantile(drawn[:, known], [TAIL, 1 - TAIL], axis=0)
    return band


def _line(ax: Axes, x: Floats, y: Floats, band: Floats | None, look: Look) -> None:
    known = np.isfinite(x) & np.isfinite(y)
    ax.plot(
        x[known], y[known], color=look.colour, linestyle=look.line, marker=look.marker,
        markevery=max(1, int(known.sum()) // 8), ms=2.6,
    )  # fmt: skip
    if band is not None:
        low, high = band[:, known]
        ax.fill_between(x[known], low, high, color=look.colour, alpha=0.12, linewidth=0)


def _by_site(
    models: Sequence[Scored],
    sites: Sequence[str],
    draw: Callable[[Axes, list[Scored], dict[str, Look]], None],
    axes_of: tuple[str, str],
    *,
    width: float,
) -> Figure:
    usable = [one for one in models if np.isfinite(one.scores).all()]
    looks = method_looks(methods_of(usable))
    figure, axes = panels(len(sites), width=width, height=1.7, sharey=False)
    for ax, site in zip(axes, sites, strict=True):
        if of_site := [one for one in usable if one.site == site]:
            draw(ax, of_site, looks)
        ax.set_title(short(site))
        label_lowest(ax, axes_of[0])
    label_rows(axes, axes_of[1])
    if looks:
        legend_below(figure, lines.handles(looks))
    return figure
