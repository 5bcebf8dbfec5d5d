"""How every figure looks: size, type, colours, panels.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color), told apart by people who are
colour-blind; line style and marker say the same once more, for grey print.
"""

import inspect
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from federated.config.presets import METHODS
from federated.errors import UserError
from federated.plots.inline import show_in_notebooks
from federated.runs.reading import Run

SINGLE, DOUBLE = 3.5, 7.2
"""Width in inches of one and of two columns of a journal's page."""

DPI = 300

_BLUE, _SKY, _GREEN, _ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
_VERMILLION, _PURPLE, _BLACK, _GREY = "#D55E00", "#CC79A7", "#000000", "#7F7F7F"
# Okabe and Ito's yellow is invisible as a thin line on white; this is the same hue, darker.
_YELLOW = "#B5A300"
METHOD_COLOURS = (
    _GREY, _BLUE, _SKY, _GREEN, _ORANGE, _YELLOW, _PURPLE, _VERMILLION, _BLACK,
)  # fmt: skip
MAIN = (
    "local", "fedavg", "fedprox", "fedbn", "silobn", "moon", "contrastive", "consilium", "pooled",
)  # fmt: skip
"""Methods that stand side by side most often: each has a colour of its own."""
SITE_COLOURS = (_BLUE, _VERMILLION, _GREEN, _PURPLE, _ORANGE, _SKY, _BLACK, _GREY)
LINES: tuple[Any, ...] = (
    "-",
    "--",
    "-.",
    (0, (1, 1)),
    (0, (6, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (5, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")

RC: dict[Any, Any] = {
    "font.size": 7,
    # An SVG names them at every word; Verdana is as wide where the first is not installed.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "figure.titlesize": 8,
    "legend.fontsize": 6.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a site's name is a dollar
}

P = ParamSpec("P")
R = TypeVar("R")


class Look(NamedTuple):
    """How one method or site is drawn, the same in every figure of a run."""

    colour: str
    line: Any
    marker: str


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in this style, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        _refuse_other_than_runs(draw, args)
        show_in_notebooks()
        with rc_context(RC):
            return draw(*args, **kwargs)

    return wrapper


def _refuse_other_than_runs(draw: Callable[..., Any], given: Sequence[object]) -> None:
    """Say what a figure takes, where it takes a run and is handed something else."""
    first = next(iter(inspect.signature(draw).parameters), "")
    if given and first == "run" and not isinstance(given[0], Run):
        raise UserError(
            f"{draw.__name__} draws one run, as engine.run or results.load returns it, and not a "
            f"{type(given[0]).__name__}; of several runs draw one figure each."
        )


def method_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each method; a preset's is the same in all runs."""
    names = list(names)
    presets = [*(name for name in MAIN if name in METHODS), *(n for n in METHODS if n not in MAIN)]
    taken = {name: place for place, name in enumerate(presets) if name in names}
    free = (place for place in itertools.count() if place not in taken.values())
    places = {name: taken[name] if name in taken else next(free) for name in names}
    return {name: _look(METHOD_COLOURS, place) for name, place in places.items()}


def site_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each site, by its place among the run's sites."""
    return {name: _look(SITE_COLOURS, place) for place, name in enumerate(names)}


def _look(colours: Sequence[str], place: int) -> Look:
    # Past the last colour they start over, with another line style beside it.
    again = place // len(colours)
    return Look(
        colours[place % len(colours)],
        LINES[(place + again) % len(LINES)],
        MARKERS[(place + again) % len(MARKERS)],
    )


def panels(
    count: int,
    *,
    width: float = DOUBLE,
    height: float | None = None,
    least: float = 1.7,
    sharex: bool | Literal["col"] = True,
    sharey: bool = True,
    square: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of small multiples with common axes.

    Args:
        count: how many panels.
        width: of the figure in inches.
        height: of a panel in inches; None: what suits its width.
        least: width of a panel in inches; as many stand side by side as this allows.
        sharex: whether all have the same x axis, or only those of a column ("col").
        sharey: whether all have the same y axis.
        square: whether panels are as high as they are wide, whatever ``height`` says.
    """
    columns = min(count, max(1, int(width // least)))
    columns = ceil(count / ceil(count / columns))  # 4 as 2 + 2, not as 3 + 1
    rows = ceil(count / columns)
    # A lone panel as wide as a page would be all width.
    width = min(width, SINGLE) if columns == 1 else width
    if square:
        height = width / columns - 0.3
    elif height is None:
        height = min(2.0, max(1.45, 0.6 * width / columns))
    figure = Figure(figsize=(width, rows * height + 0.55), dpi=120, layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False).flat)
    for place, ax in enumerate(axes):
        ax.tick_params(labelsize=6.5, width=0.6, length=2.5)
        ax.grid(axis="y", color="#E4E4E4", linewidth=0.5)
        if place >= count:
            ax.remove()
        elif place + columns >= count:
            ax.tick_params(labelbottom=True)
    return figure, axes[:count]


def rounds_axis(axes: Sequence[Axes]) -> None:
    """Label the x axes of the lowest panels as rounds, whole numbers only."""
    for ax in axes:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
        label_lowest(ax, "round")


def label_rows(axes: Sequence[Axes], ylabel: str) -> None:
    """Name the y axes of the panels that stand first in their row."""
    for ax in axes:
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(ylabel)


def label_lowest(ax: Axes, xlabel: str) -> None:
    """Name the x axis of a panel if none below it has the same."""
    if ax.xaxis.get_tick_params()["labelbottom"]:
        ax.set_xlabel(xlabel)


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    """Put one legend for all panels under them."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    # Inches of a line sample with its margins, and of a letter at this size.
    columns = max(1, int(figure.get_figwidth() // (0.65 + 0.052 * longest)))
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=columns, handlelength=2.6
    )


def short(name: str, length: int = 24) -> str:
    """Return a name that fits over a panel, a part left out if it is long."""
    if len(name) <= length:
        return name
    # Names of a kind tend to differ early: hospital-17-of-the-trust.
    tail = length // 4
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def save(figure: Figure, stem: str | Path, formats: Iterable[str] = ("png",)) -> list[Path]:
    """Write a figure as ``stem.FORMAT`` for png, pdf or svg, and return the paths."""
    stem = Path(stem)
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in formats]
    with rc_context(RC):
        for path in paths:
            figure.savefig(path, dpi=DPI)
    return paths
