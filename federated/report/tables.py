"""The tables of the summary as DataFrames of text."""

from collections.abc import Sequence
from functools import partial
from math import isnan

import pandas as pd

from federated.config.presets import ALONE
from federated.exchange.candidates import CANDIDATES
from federated.plots.numbers import shown_sites, values
from federated.plots.text import DASH, number
from federated.report.conclusion import THRESHOLD, plain, signed
from federated.report.evidence import CLASSES, interval_text, per_class_table, per_site_table
from federated.report.standing import KEPT, USED, Standings, standings
from federated.runs.columns import SITE, SITE_ROUND
from federated.runs.history import events
from federated.runs.reading import Run
from federated.statistics import sites
from federated.statistics.images import scored_once
from federated.statistics.scored import Scored

BEHIND = "↓"
"""Stands behind an AUC whose whole interval of the difference is below the reference."""

CHOSEN = "models chosen without a look at test images"


def site_table(run: Run) -> pd.DataFrame:
    """Return test AUCs, a row per site and method: of the model that is used, and of the kept one.

    An AUC is marked with ``BEHIND`` where the interval of its difference to the reference lies
    below 0. Of more than 12 sites the 12 worst are there.
    """
    return table_of(standings(run, USED), standings(run, KEPT), shown_in(run)[0])


def shown_in(run: Run) -> tuple[list[str], str]:
    """Return the sites of the tables, and a note if some are left out."""
    return shown_sites(values(run, "auc", "test", KEPT), "auc")


def table_of(used: Standings, kept: Standings, sites: Sequence[str]) -> pd.DataFrame:
    """Return ``site_table`` of what was worked out; a run that has not ended uses no model yet."""
    methods = dict.fromkeys(method for _, method in [*used.areas, *kept.areas])
    keys = [
        (site, method)
        for site in sites
        for method in methods
        if (site, method) in used.areas or (site, method) in kept.areas
    ]
    rows = [_row(used, kept, site, method) for site, method in keys]
    table = pd.DataFrame(rows, columns=["site", "method", "images", FINAL_AUC, KEPT_AUC])
    if used.reference is not None:
        told = [used.of(site, method) for site, method in keys]
        table[f"final − {used.reference}"] = [
            DASH if one is None else "the same model" if one.is_same else signed(one.difference)
            for one in told
        ]
    return table


FINAL_AUC, KEPT_AUC = "AUC, final model", "AUC, kept model"


def _row(used: Standings, kept: Standings, site: str, method: str) -> dict[str, str]:
    images = used.images.get(site, kept.images.get(site))
    row = {"site": site, "method": method, "images": str(images)}
    for header, found in ((FINAL_AUC, used), (KEPT_AUC, kept)):
        area = found.areas.get((site, method))
        mark = f" {BEHIND}" if (site, method) in found.losing else ""
        row[header] = DASH if area is None or isnan(area.value) else plain(area) + mark
    return row


def mark_of(reference: str | None) -> str:
    """Return what the mark behind an AUC means."""
    who = "the hospital alone (method local)" if reference == ALONE else f"{reference}"
    return f"{BEHIND} worse than {who}: the whole interval of the difference is below 0"


def threshold_table(run: Run) -> pd.DataFrame:
    """Return what the used models do at the threshold that validation chose, and how calibrated.

    Empty where the hospitals' predictions are elsewhere.
    """
    here = _used_here(run)
    if not here:
        return pd.DataFrame()
    return per_site_table(sites.over_seeds(here)).drop(columns="AUC")


def class_table(run: Run) -> pd.DataFrame:
    """Return how well the used models tell each class from the rest; empty of two classes."""
    table = sites.by_class(_used_here(run))
    return per_class_table(table) if len(table) else table


def _used_here(run: Run) -> list[Scored]:
    models = scored_once(run, USED) or scored_once(run, KEPT)
    shown, _ = shown_in(run)
    return [one for site in shown for one in models if one.site == site]


def decisions_note(run: Run) -> str:
    """Return how the decisions came about that sensitivity and specificity are of."""
    return CLASSES if run.study.common.data.classes else THRESHOLD


def method_table(run: Run) -> pd.DataFrame:
    """Return each method's test AUC over sites: mean difference, worst site, who loses by it.

    The mean counts every site once; AUCs are never computed over pooled images.
    """
    found = standings(run, USED)
    if not found.areas:
        found = standings(run, KEPT)
    rows = []
    for method in dict.fromkeys(method for _, method in found.areas):
        areas = {site: area for (site, m), area in found.areas.items() if m == method}
        known = {site: area for site, area in areas.items() if not isnan(area.value)}
        worst = min(known, key=lambda site: known[site].value, default="")
        row = {
            "method": method,
            "sites": f"{len(known)} of {len(found.images)}",
            "worst site's AUC": f"{plain(known[worst])} ({worst})" if known else DASH,
        }
        if found.reference is not None:
            mean = found.means.get(method)
            row[f"mean over sites of AUC − {found.reference}"] = signed(mean) if mean else DASH
            losing = sum(name == method for _, name in found.losing)
            row["sites surely worse"] = f"{losing} {BEHIND}" if losing else "0"
        rows.append(row)
    return pd.DataFrame(rows)


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
    rounds = values(run, "kept_round", "val", "final")[[*SITE, "value"]]
    table = table.merge(rounds.rename(columns={"value": "kept round"}), on=SITE, how="left")
    table["kept round"] = table["kept round"].map(partial(number, form="{:.0f}"))
    for model in (KEPT, USED):
        table = table.merge(_aucs_by_seed(run, model), on=SITE, how="left")
    return table.fillna(DASH).astype(str)


def _aucs_by_seed(run: Run, model: str) -> pd.DataFrame:
    """Return test AUCs of each seed as text, with DeLong's interval where predictions are here."""
    name = f"test AUC, {model}"
    if models := scored_once(run, model):
        table = sites.by_seed(models)
        table[name] = [interval_text(row, "auc") for _, row in table.iterrows()]
        return table[[*SITE, name]]
    table = values(run, "auc", "test", model)[[*SITE, "value"]].rename(columns={"value": name})
    table[name] = table[name].map(partial(number, form="{:.3f} [interval unknown]"))
    return table


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
        clock = events(run, "round-ended", ["method", "seconds"]).groupby("method")["seconds"].sum()
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
    return events(run, "site-failed", [*SITE_ROUND, "reason"]).astype(str)


def shortened_table(run: Run) -> pd.DataFrame:
    """Return the sites whose updates were over the bound, in how many rounds and by how much."""
    long = events(run, "update-shortened", [*SITE, "norm", "bound"])
    if long.empty:
        return pd.DataFrame()
    long["times"] = long["norm"] / long["bound"]
    groups = long.groupby(SITE, sort=False)["times"].agg(["count", "max"])
    groups["max"] = groups["max"].map("{:.3g}".format)
    names = {"count": "rounds", "max": "longest, of the bound"}
    return groups.reset_index().rename(columns=names).astype(str)
