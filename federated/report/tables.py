"""The tables of the summary as DataFrames of text."""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from federated.config.presets import ALONE
from federated.exchange.candidates import CANDIDATES
from federated.plots.numbers import behind_local, label, mean_and_sd, names, shown_sites, values
from federated.plots.text import DASH, number, plus_minus
from federated.runs.columns import SITE
from federated.runs.reading import Run

TEST_METRICS = ("auc", "sensitivity", "specificity", "f1", "balanced_accuracy")

BEHIND = "↓"
"""Stands behind an AUC below the one that the site reaches alone."""

CHOSEN = "kept by keep.rule; test images were never used for a choice"
MARK = f"{BEHIND} worse than the hospital alone (method local, means over seeds)"


def site_table(run: Run, model: str = "kept") -> pd.DataFrame:
    """Return test metrics of the chosen models, a row per site and method, mean ± sd over seeds.

    An AUC worse than the site's under ``local`` is marked with ``BEHIND``. Of more than 12 sites
    the 12 worst are there.
    """
    auc = values(run, "auc", "test", model)
    sites, _ = shown_sites(auc, "auc")
    behind = behind_local(run, "auc", "test", model)
    texts = {metric: _texts(run, metric, model) for metric in TEST_METRICS}
    images = auc.groupby(["method", "site"], sort=False)["num_examples"].first()
    rows = []
    for site in sites:
        for method in (name for name in names(auc, "method") if (name, site) in images):
            row = {"site": site, "method": method, "images": str(images[method, site])}
            row |= {label(metric): text[method, site] for metric, text in texts.items()}
            row["AUC"] += f" {BEHIND}" if (method, site) in behind else ""
            rows.append(row)
    columns = ["site", "method", "images", *map(label, TEST_METRICS)]
    return pd.DataFrame(rows, columns=columns)


def _texts(run: Run, metric: str, model: str) -> Mapping[tuple[str, str], str]:
    table = mean_and_sd(values(run, metric, "test", model), ["method", "site"])
    rows = table.itertuples(index=False, name=None)
    return {(method, site): plus_minus(mean, sd) for method, site, mean, sd in rows}


def method_table(run: Run, model: str = "kept") -> pd.DataFrame:
    """Return each method's test AUC over sites: the unweighted mean, the worst, who loses by it.

    The mean is taken over sites seed by seed, ± sd over seeds; the worst site is the one with the
    lowest mean over seeds. AUCs are never pooled.
    """
    frame = values(run, "auc", "test", model)
    behind = behind_local(run, "auc", "test", model)
    every = frame["site"].nunique()
    rows = []
    for method, group in frame.groupby("method", sort=False):
        over_seeds = group.groupby("seed")["value"].mean()
        by_site = mean_and_sd(group, ["site"]).dropna(subset=["mean"])
        worst = by_site.sort_values("mean", kind="stable").head(1)
        losing = sum(name == method for name, _ in behind)
        rows.append(
            {
                "method": str(method),
                "mean AUC over sites (unweighted)": plus_minus(over_seeds.mean(), over_seeds.std()),
                "worst site's AUC": "".join(
                    f"{plus_minus(mean, sd)} ({site})"
                    for site, mean, sd in worst.itertuples(index=False, name=None)
                )
                or DASH,
                "sites": f"{len(by_site)} of {every}",
                "sites worse than alone": f"{losing} {BEHIND}" if losing else "0",
            }
        )
    table = pd.DataFrame(rows)
    if ALONE not in names(frame, "method"):
        return table.drop(columns="sites worse than alone", errors="ignore")
    return table


def choice_table(run: Run) -> pd.DataFrame:
    """Return what each site uses in the end; empty if there was nothing to choose.

    Columns method, seed, site, chosen, kept round, and test AUC of the kept and the final model.
    """
    if all(values(run, "auc", "test", name).empty for name in ("own", "personalised")):
        return pd.DataFrame()
    # It is told with the validation images, or without any with the test images.
    parts = [
        values(run, f"chose_{model}", split, "final").assign(chosen=model)
        for model in CANDIDATES
        for split in ("val", "test")
    ]
    table = pd.concat([part[part["value"] == 1] for part in parts])
    table = run.in_order(table.sort_values("site", kind="stable"))[[*SITE, "chosen"]]
    columns = {
        "kept round": ("kept_round", "val", "final", "{:.0f}"),
        "test AUC, kept": ("auc", "test", "kept", "{:.3f}"),
        "test AUC, final": ("auc", "test", "final", "{:.3f}"),
    }
    for name, (metric, split, model, form) in columns.items():
        shown = values(run, metric, split, model)[[*SITE, "value"]]
        table = table.merge(shown.rename(columns={"value": name}), on=SITE, how="left")
        table[name] = table[name].map(partial(number, form=form))
    return table.astype(str)


def cost_table(run: Run) -> pd.DataFrame:
    """Return each method's traffic and time: MB per site, seconds at sites and by the clock.

    MB are 10^6 bytes of tensors over all rounds, mean over the sites and seeds that report them.
    """
    up, down = (_sums(run, name).groupby("method")["value"] for name in ("bytes_up", "bytes_down"))
    columns = {
        "MB up per site": (up.mean() / 1e6, "{:.1f}"),
        "MB down per site": (down.mean() / 1e6, "{:.1f}"),
        "seconds at sites, all seeds": (
            _sums(run, "seconds").groupby("method")["value"].sum(),
            "{:.0f}",
        ),
    }
    if "seconds" in run.events:
        ended = run.events[run.events["kind"] == "round-ended"]
        clock = ended.groupby("method")["seconds"].sum()
        columns["seconds by the clock, all seeds"] = (clock, "{:.0f}")
    methods = list(run.study.common.methods)
    table = {"method": methods}
    for name, (numbers, form) in columns.items():
        table[name] = [number(numbers.get(m, float("nan")), form) for m in methods]
    return pd.DataFrame(table)


def _sums(run: Run, metric: str) -> pd.DataFrame:
    return values(run, metric, "train").groupby(SITE, sort=False)["value"].sum().reset_index()


def failure_table(run: Run) -> pd.DataFrame:
    """Return the sites that failed in a round, and why; empty if none did."""
    if "kind" not in run.events:
        return pd.DataFrame()
    failed = run.events[run.events["kind"] == "site-failed"]
    if failed.empty:
        return pd.DataFrame()
    # Events of other kinds have no seed, so pandas made these numbers floats.
    whole = {"seed": "Int64", "round": "Int64"}
    return failed[["method", "seed", "round", "site", "reason"]].astype(whole).astype(str)
