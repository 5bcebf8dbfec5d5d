"""What left the hospitals, group by group: megabytes that were measured, and what never left."""

from collections.abc import Mapping
from math import prod

import numpy as np
import pandas as pd

from federated.errors import UserError
from federated.exchange.norms import norm_tensors
from federated.exchange.sharing import WEIGHTS, TensorSpec
from federated.learning.network import network_of
from federated.methods import configured_boundary
from federated.plots.numbers import values
from federated.plots.text import number
from federated.runs.columns import ROUND
from federated.runs.reading import Run

NORM, SHARED = "batch norm", "weights"
NEVER = ("contrastive memory", "images and predictions")

TRAFFIC = (
    "Megabytes (10⁶ bytes) of tensors up to the server, mean over the rounds and seeds, all "
    "hospitals together; measured where a message was packed, and shared out to groups by their "
    "sizes in the list of what may leave. What is not on that list cannot leave"
)


def traffic_table(run: Run) -> pd.DataFrame:
    """Return a row per method and group of tensors: megabytes a round, and in all of one seed."""
    sums = values(run, "bytes_up", "train").groupby(ROUND, sort=False)["value"].sum()
    rows = []
    for method in dict.fromkeys(sums.index.get_level_values("method")):
        by_seed = sums[method].groupby("seed")
        shares = shares_of(run, str(method))
        for group in shares if shares else {"all": 1.0}:
            share = shares.get(group, 1.0)
            rows.append(
                {
                    "method": str(method),
                    "group": group,
                    "MB a round": number(share * by_seed.mean().mean() / 1e6, "{:,.3f}"),
                    "MB in all": number(share * by_seed.sum().mean() / 1e6, "{:,.2f}"),
                }
            )
    return pd.DataFrame(rows)


def shares_of(run: Run, method: str) -> Mapping[str, float]:
    """Return which share of a message's bytes each group has; empty if the network is not here."""
    config = run.study.by_method[method]
    try:
        model = network_of(config, seed=0)
        boundary = configured_boundary(config, model)
    except UserError:
        return {}
    sizes = dict.fromkeys([SHARED, NORM, *sorted(boundary.groups - {WEIGHTS}), *NEVER], 0)
    norms = norm_tensors(model, affine=True)
    for spec in boundary.shared:
        group, _, name = spec.name.partition("/")
        kind = NORM if group == WEIGHTS and name in norms else SHARED if group == WEIGHTS else group
        sizes[kind] += _bytes_of(spec)
    whole = sum(sizes.values())
    return {kind: size / whole if whole else 0.0 for kind, size in sizes.items()}


def _bytes_of(spec: TensorSpec) -> int:
    return prod(spec.shape) * np.dtype(spec.dtype.replace("bfloat16", "uint16")).itemsize
