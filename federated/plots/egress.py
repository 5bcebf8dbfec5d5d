"""What left the hospitals, by the kind of tensor."""

from matplotlib.figure import Figure

from federated.errors import UserError
from federated.exchange.schema import MEMORY, NORMALISATION
from federated.plots.lines import handles
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.style import (
    DOUBLE,
    label_rows,
    legend_below,
    panels,
    rounds_axis,
    short,
    site_looks,
    styled,
)
from federated.runs.ledgers import left
from federated.runs.reading import Run


@styled
def egress(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw megabytes of tensors that left all hospitals, a panel a method and a line a kind.

    Raises:
        NothingToDrawError: the run has no ledgers, or one whose chain is broken.
    """
    try:
        told = left(run)
    except UserError as error:
        raise NothingToDrawError(str(error)) from error
    told = run.in_order(told[told["round"] > 0])
    if told.empty:
        raise NothingToDrawError("the ledgers have no round")
    methods = names(told, "method")
    kinds = dict.fromkeys([*told["kind"].unique(), NORMALISATION, MEMORY])
    looks = site_looks(list(kinds))
    figure, axes = panels(len(methods), width=width, least=width / 3)
    for ax, method in zip(axes, methods, strict=True):
        rows = told[told["method"] == method]
        table = rows.pivot_table(index="round", columns="kind", values="bytes") / 1e6
        for kind in (kind for kind in kinds if kind in table):
            colour, line, marker = looks[kind]
            ax.plot(table.index, table[kind], color=colour, ls=line, marker=marker, clip_on=False)
        ax.set_title(short(method))
    # Of all panels at once: they share the axis, and a limit ends its fitting to what follows.
    axes[0].set_ylim(bottom=0)
    rounds_axis(axes)
    label_rows(axes, "MB left, all hospitals")
    legend_below(figure, handles(looks))
    return figure
