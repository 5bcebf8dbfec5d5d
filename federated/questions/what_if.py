"""What would be otherwise if: a scenario as it is beside the same with some settings changed.

Nothing but the settings differs between the runs, so the difference is caused by them; every
seed is compared with itself.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from federated.answers import waiting
from federated.config.given import Given
from federated.config.presets import ALONE
from federated.config.study import parse
from federated.plots.rows import LINE, MOST_ROWS, heights, over_seeds, rows_axis, shifts
from federated.plots.style import DOUBLE, legend_below, panels, short, site_looks, styled
from federated.plots.text import TextColumns, text_table
from federated.plots.time_axis import unit_of, when
from federated.questions.alternatives import alternatives, checked, folder_name, lies_beyond
from federated.questions.finding import Finding
from federated.questions.trials import kept_auc, the_method, trial
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import evaluations, rounds
from federated.runs.reading import Run
from federated.statistics.effort import effort_of_runs
from federated.statistics.targets import first_held, targets_of

MOST_LETTERS = 44
"""Of an alternative in a table for a terminal; the file has the whole."""

AS_IT_IS = "as it is"
EVERYONE = "everyone"

NUMBERS = ["hours", "waited_hours", "reached", "reached_week", "val_auc", "test_auc"]


CHANGES = {
    "hours_change": ("The last round ends", "hours later"),
    "waited_hours_change": ("Waiting for others", "hours more"),
    "later": ("The target is reached", ""),
    "test_auc_change": ("Test AUC of the kept model", "AUC more"),
}


def ask(given: Given, folder: Path, *, texts: Sequence[str]) -> Finding:
    """Return what a scenario comes to as it is, and with each alternative.

    Args:
        given: The checked configuration.
        folder: Of the runs, each in a folder of its own below it.
        texts: What each alternative changes, as ``changes_of`` reads it.

    Raises:
        UserError: an alternative is wrong or none, or there are more methods than one.
    """
    method, methods = the_method(given), parse(given).common.methods
    # Alone is for the target of the scenario as it is, which holds for all.
    together_and_alone = ",".join([*([ALONE] if ALONE in methods else []), method])
    as_it_is, others = checked(given, {}), alternatives(given, texts)
    run = trial(as_it_is, folder / "as-it-is", {"methods": together_and_alone})
    targets = targets_of(run)
    runs, outcomes = [(run, method)], {AS_IT_IS: outcome(run, method, targets)}
    for text, settings in others.items():
        name = the_method(settings)
        other = trial(settings, folder / f"if-{folder_name(text)}", {"methods": name})
        runs.append((other, name))
        outcomes[text] = outcome(other, name, targets)
    numbers = compared(outcomes)
    words = (
        f"{method}, {len(outcomes)} runs; every seed is compared with itself. Everyone: means over "
        "hospitals, of when over those that reached the target. Target: that of the scenario as "
        "it is, else the hospital's mean validation AUC alone in its last quarter of evaluations. "
        "AUC of the models kept by validation; hours and weeks are virtual. "
        f"{effort_of_runs(runs)}"
    )
    last_week = run.last_hour / HOURS_PER_WEEK
    for text in (t for t, s in others.items() if lies_beyond(as_it_is, s, last_week)):
        words += (
            f" NOTE: {text} lies beyond the {last_week:.3g} weeks that are simulated, so it "
            "changes nothing; set more rounds."
        )
    pictured = figure(numbers, unit_of(run))
    return Finding(words, numbers, table(run, numbers), pictured, formats=("png", "pdf"))


def outcome(run: Run, method: str, targets: pd.DataFrame) -> pd.DataFrame:
    """Return what a run came to, hospital by hospital.

    Args:
        run: The run, a rollout.
        method: Whose rounds.
        targets: Of ``targets_of``, of the scenario as it is: one target for all that is compared.

    Returns:
        One row per seed and site: ``hours`` (virtual, when the run's last round ended),
        ``waited_hours``, ``reached`` (1 or 0; NaN without a target), ``reached_week``, and
        ``val_auc`` and ``test_auc`` of the kept model.
    """
    keys = ["seed", "site"]
    table = waiting.numbers(run).query("method == @method")[[*keys, "waiting_hours"]]
    table = table.rename(columns={"waiting_hours": "waited_hours"})
    ends = rounds(run).query("method == @method").groupby("seed")["end"].max()
    table["hours"] = table["seed"].map(ends)
    first = first_held(evaluations(run).query("method == @method"), targets)
    table = table.merge(targets[["site", "target"]], on="site", how="left")
    table = table.merge(first[[*keys, "reached_hours"]], on=keys, how="left")
    table["reached_week"] = table["reached_hours"] / HOURS_PER_WEEK
    is_reached = table["reached_week"].notna().astype(float)
    table["reached"] = is_reached.where(table["target"].notna())
    for split in ("val", "test"):
        kept = kept_auc(run, method, split)
        table = table.merge(kept.rename(columns={"auc": f"{split}_auc"}), on=keys, how="left")
    return table[[*keys, *NUMBERS]]


def compared(outcomes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return all outcomes below each other, with the difference to the first, seed by seed.

    Args:
        outcomes: What was otherwise -> its ``outcome``; the first is the scenario as it is.

    Returns:
        Columns ``if``, ``seed``, ``site``, the numbers, and for each ``…_change``: it minus what
        it is as it is; NaN where it is not defined in both. Rows of the site ``everyone`` come
        first: means over hospitals; of ``reached_week`` over those that reached their target.
    """
    keys = ["seed", "site"]
    base = next(iter(outcomes.values()))
    parts = []
    for name, table in outcomes.items():
        both = table[keys].merge(base, on=keys, how="left")
        difference = table[NUMBERS].reset_index(drop=True) - both[NUMBERS]
        difference = difference.add_suffix("_change")
        parts.append(pd.concat([table.reset_index(drop=True), difference], axis=1))
        parts[-1].insert(0, "if", name)
    rows = pd.concat(parts, ignore_index=True)
    means = rows.drop(columns="site").groupby(["if", "seed"], sort=False).mean().reset_index()
    means.insert(2, "site", EVERYONE)
    return pd.concat([means, rows], ignore_index=True)


def table(run: Run, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return ``compared`` as text, means ± sd over seeds; everyone first.

    Args:
        run: The scenario as it is; for its dates and units.
        numbers: Of ``compared``.
    """
    unit, hours = unit_of(run)
    later = numbers["reached_week_change"] * HOURS_PER_WEEK / hours
    frame = numbers.assign(later=later, hospital=numbers["site"])
    changes = [f"{name}_change" for name in NUMBERS]
    frame.loc[frame["if"] == AS_IT_IS, [*changes, "later"]] = float("nan")
    columns: TextColumns = {
        "hours": ("ends after h", "{:.2f}"),
        "hours_change": ("h later", "{:+z.2f}"),
        "waited_hours": ("waited h", "{:.2f}"),
        "waited_hours_change": ("h more", "{:+z.2f}"),
        "reached": ("target reached", "{:.0%}"),
        "reached_week": ("when", partial(when, run)),
        "later": (f"{unit} later", "{:+z.1f}"),
        "val_auc": ("val AUC", "{:.3f}"),
        "val_auc_change": ("change", "{:+z.3f}"),
        "test_auc": ("test AUC", "{:.3f}"),
        "test_auc_change": ("its change", "{:+z.3f}"),
    }
    text = text_table(frame, ["hospital", "if"], columns)
    return text.assign(**{"if": [short(name, MOST_LETTERS) for name in text["if"]]})


@styled
def figure(table: pd.DataFrame, unit: tuple[str, float] = ("weeks", HOURS_PER_WEEK)) -> Figure:
    """Draw what each alternative changes, hospital by hospital, against the scenario as it is.

    Everyone's mean is the first row. A mark per alternative is the mean over seeds, with their
    range. Of more than 30 hospitals those are drawn whose test AUC changes most.

    Args:
        table: Of ``compared``.
        unit: In which times to the target are drawn, and its hours.
    """
    later = table["reached_week_change"] * HOURS_PER_WEEK / unit[1]
    table = table.assign(later=later)[table["if"] != AS_IT_IS]
    sites, note = _most_changed(table)
    rows = [EVERYONE, *sites]
    looks = site_looks(table["if"].unique())
    drawn = [column for column in CHANGES if table[column].notna().any()]
    figure, axes = panels(
        len(drawn), width=DOUBLE, height=heights(len(rows)), least=1.6, sharex="col", sharey=True
    )
    for ax, column in zip(axes, drawn, strict=True):
        title, label = CHANGES[column]
        label = f"{unit[0]} later" if column == "later" else label
        ax.axvline(0, color=LINE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        ax.axhline(0.5, color="#AAAAAA", linewidth=0.6)
        for (name, look), shift in zip(looks.items(), shifts(len(looks)), strict=True):
            seeds = over_seeds(table[table["if"] == name], ["site"], column)
            seeds = seeds[seeds["site"].isin(rows)]
            places = [rows.index(site) + shift for site in seeds["site"]]
            ax.hlines(places, seeds["low"], seeds["high"], color=look.colour, linewidth=1.0)
            ax.plot(seeds["mean"], places, look.marker, color=look.colour, ms=3.5, mew=0)
        rows_axis(ax, rows, 20)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.set_title(title)
        ax.set_xlabel(label)
    if note:
        figure.suptitle(note)
    legend_below(
        figure,
        [
            Line2D([], [], ls="", marker=look.marker, color=look.colour, label=short(name, 90))
            for name, look in looks.items()
        ],
    )
    return figure


def _most_changed(table: pd.DataFrame) -> tuple[list[str], str]:
    """Return the hospitals that get a row, and a note if some do not."""
    hospitals = table[table["site"] != EVERYONE]
    sites = sorted(hospitals["site"].unique())
    if len(sites) <= MOST_ROWS:
        return sites, ""
    size = hospitals.assign(size=hospitals["test_auc_change"].abs()).groupby("site")["size"].mean()
    most = size.sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    return sorted(most), f"The {MOST_ROWS} of {len(sites)} hospitals whose test AUC changes most"
