"""How long each hospital was trained under each method: only equal training compares methods."""

import pandas as pd

from federated.plots.numbers import MOST_PANELS, mean_and_sd, values
from federated.plots.text import number
from federated.runs.columns import SITE
from federated.runs.reading import Run

EFFORT = {"steps": "optimiser steps", "images_seen": "images seen"}
"""Metric of a training round to its header."""


def effort(run: Run) -> pd.DataFrame:
    """Return what a hospital's training took: a row per site and method, mean over the seeds.

    Returns:
        Columns site, method, ``steps`` and ``images_seen``, each summed over the rounds; an image
        counts each time it is seen. The kept model may be that of an earlier round.
    """
    parts = []
    for metric in EFFORT:
        sums = values(run, metric, "train").groupby(SITE, sort=False)["value"].sum().reset_index()
        parts.append(mean_and_sd(sums, ["site", "method"]).set_index(["site", "method"])["mean"])
    table = pd.concat(parts, axis=1, keys=list(EFFORT)).reset_index()
    # As the other tables have it: site by site, the methods as the run has them.
    return table.sort_values("site", kind="stable", ignore_index=True)


def effort_table(run: Run) -> pd.DataFrame:
    """Return ``effort`` as text."""
    table = effort(run)
    columns = {
        header: table[name].map(lambda v: number(v, "{:,.0f}")) for name, header in EFFORT.items()
    }
    return pd.DataFrame({"site": table["site"], "method": table["method"], **columns})


def effort_sentence(run: Run) -> str:
    """Return how long the hospitals were trained, with a warning where methods differ in it."""
    table = effort(run)
    spread = table.groupby("site")[list(EFFORT)].agg(["min", "max"])
    is_unequal = pd.Series(False, index=spread.index)
    for metric in EFFORT:
        is_unequal |= spread[metric, "min"] != spread[metric, "max"]
    if is_unequal.any():
        told = (
            "WARNING: the methods did not train each hospital equally long, so that a difference "
            "between them may come from that"
        )
        spread = spread[is_unequal]
    else:
        told = "Training of each hospital, under every method"
    few = [f"{site} {_steps_and_images(row)}" for site, row in spread[:MOST_PANELS].iterrows()]
    left = len(spread) - len(few)
    return f"{told}: {'; '.join(few)}{f'; and {left} hospitals more' if left else ''}."


def _steps_and_images(row: pd.Series) -> str:
    texts = []
    for metric, header in EFFORT.items():
        low, high = (number(row[metric, end], "{:,.0f}") for end in ("min", "max"))
        texts.append(f"{low if low == high else f'{low} to {high}'} {header}")
    return " and ".join(texts)
