"""How long each hospital was trained: only equal training compares methods, or runs."""

from collections.abc import Iterable, Sequence

import pandas as pd

from federated.runs.columns import SITE
from federated.runs.reading import Run

EFFORT = {"steps": "optimiser steps", "images_seen": "images seen"}
"""Metric of a training round to its header."""
MOST_NAMED = 12
"""Hospitals that a sentence names."""


def effort(run: Run) -> pd.DataFrame:
    """Return what a hospital's training took: a row per site and method, mean over the seeds.

    Returns:
        Columns site, method, ``steps`` and ``images_seen``, each summed over the rounds; an image
        counts each time it is seen. The kept model may be that of an earlier round.
    """
    parts = []
    for metric in EFFORT:
        rows = run.values(metric, "train").dropna(subset="value")
        sums = rows.groupby(SITE, sort=False)["value"].sum().reset_index()
        parts.append(sums.groupby(["site", "method"], sort=False)["value"].mean())
    table = pd.concat(parts, axis=1, keys=list(EFFORT)).reset_index()
    # As the other tables have it: site by site, the methods as the run has them.
    return table.sort_values("site", kind="stable", ignore_index=True)


def effort_table(run: Run) -> pd.DataFrame:
    """Return ``effort`` as text."""
    table = effort(run)
    columns = {header: table[name].map("{:,.0f}".format) for name, header in EFFORT.items()}
    return pd.DataFrame({"site": table["site"], "method": table["method"], **columns})


def effort_sentence(run: Run) -> str:
    """Return how long the hospitals were trained, with a warning where methods differ in it."""
    return _sentence(effort(run), "methods", "under every method")


def effort_of_runs(runs: Iterable[tuple[Run, str]]) -> str:
    """Return the same of several runs that are compared, each with the method in question."""
    pairs = ((effort(run), method) for run, method in runs)
    tables = [table[table["method"] == method] for table, method in pairs]
    return _sentence(pd.concat(tables), "runs", "in every run that it is part of")


def _sentence(table: pd.DataFrame, compared: str, everywhere: str) -> str:
    spread = table.groupby("site")[list(EFFORT)].agg(["min", "max"])
    is_unequal, count = pd.Series(False, index=spread.index), len(spread)
    for metric in EFFORT:
        is_unequal |= spread[metric, "min"] != spread[metric, "max"]
    if is_unequal.any():
        told = (
            f"WARNING: the {compared} did not train each hospital equally long, so that a "
            "difference between them may come from that"
        )
        spread = spread[is_unequal]
    else:
        told = f"Training of each hospital, {everywhere}"
    return f"{told}: {told_once(spread, count)}."


def told_once(spread: pd.DataFrame, hospitals: int) -> str:
    """Return the least and most of steps and images as text; hospitals that are alike share one.

    Args:
        spread: A row per site that is told of; columns (metric of ``EFFORT``, ``min`` or ``max``).
        hospitals: How many there are in all.
    """
    sites: dict[str, list[str]] = {}
    for site, row in spread.iterrows():
        sites.setdefault(_steps_and_images(row), []).append(str(site))
    if len(sites) == 1 and len(spread) == hospitals > 1:
        return f"each of {hospitals} hospitals {next(iter(sites))}"
    parts, left = list[str](), MOST_NAMED
    for text, alike in sites.items():
        if left > 0:
            parts.append(f"{_few(alike, left)} {text}")
            left -= len(alike)
    # Of those after the last part; of a part's own hospitals the part itself says it.
    untold = len(spread) - sum(len(alike) for alike in list(sites.values())[: len(parts)])
    return "; ".join(parts) + (f"; and {untold} hospitals more" if untold else "")


def _few(sites: Sequence[str], most: int) -> str:
    left = len(sites) - most
    return ", ".join(sites[:most]) + (f" and {left} more" if left > 0 else "")


def _steps_and_images(row: pd.Series) -> str:
    texts = []
    for metric, header in EFFORT.items():
        low, high = (f"{row[metric, end]:,.0f}" for end in ("min", "max"))
        texts.append(f"{low if low == high else f'{low} to {high}'} {header}")
    return " and ".join(texts)
