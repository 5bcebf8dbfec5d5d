"""What left the hospitals: megabytes by kind of tensor, as the hospitals' own ledgers have them."""

import pandas as pd

from federated.errors import UserError
from federated.exchange.schema import MEMORY, NORMALISATION
from federated.plots.text import number
from federated.runs.columns import CELL, ROUND
from federated.runs.ledgers import left, received_bytes
from federated.runs.reading import Run

_PLACES = {NORMALISATION: 1, MEMORY: 2}
"""Behind the kinds that are meant to leave."""

ALL = "all tensors"
"""Of a run whose ledgers are elsewhere: the server knows how much came, and not of which kind."""

TRAFFIC = (
    "Megabytes (10⁶ bytes) of tensors that left all hospitals together, by their own ledgers, "
    "which a gate writes before anything leaves; where the ledgers are not here, by what "
    "the server received. Normalisation and memory have a row even where nothing of them left"
)


def traffic_table(run: Run) -> pd.DataFrame:
    """Return a row per method and kind of tensor: megabytes a round, and in all of one seed.

    Means over the seeds; a round in which nothing left counts as one.
    """
    frame = run.in_order(_told(run))
    rows = []
    for method in frame["method"].unique():
        mine = frame[frame["method"] == method]
        sums = mine.groupby([*CELL, "kind"], sort=False)["bytes"].sum()
        rounds = mine.groupby(CELL)["round"].nunique().mean()
        whole = sums.groupby("kind", sort=False).mean() / 1e6
        rows += [
            {
                "method": method,
                "kind of tensor": kind,
                "MB a round": number(whole[kind] / rounds, "{:,.3f}"),
                "MB in all": number(whole[kind], "{:,.2f}"),
            }
            for kind in sorted(whole.index, key=lambda kind: _PLACES.get(kind, 0))
        ]
    return pd.DataFrame(rows)


def _told(run: Run) -> pd.DataFrame:
    """Return method, seed, round, kind and bytes of every round, of the ledgers or the server."""
    try:
        told = left(run)
    except UserError:
        told = received_bytes(run).assign(kind=ALL)
    return told.loc[told["round"] > 0, [*ROUND, "kind", "bytes"]]
