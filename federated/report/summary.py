"""The summary of a run as a command prints it."""

from collections.abc import Iterator

import pandas as pd

from federated.answers.benefit import table_by_method, table_by_site
from federated.plots.numbers import MOST_PANELS
from federated.plots.terminal import printed, wrapped
from federated.report.conclusion import MODELS, conclusion
from federated.report.precision import precision_text
from federated.report.standing import USED, standings
from federated.report.tables import (
    BEHIND,
    CHOSEN,
    FINAL_AUC,
    KEPT_AUC,
    class_table,
    decisions_note,
    mark_of,
    method_table,
    shown_in,
    site_table,
    threshold_table,
)
from federated.runs.reading import Run
from federated.statistics.effort import effort_sentence


def summary_table(run: Run) -> str:
    """Return question, answer and test metrics as lines that fit the terminal."""
    found = conclusion(run)
    lines = [*wrapped(found.question), "", *wrapped(" ".join(found.sentences)), ""]
    return "\n".join([*lines, *_tables(run), *_targets(run)]) + "\n"


def _tables(run: Run) -> Iterator[str]:
    table, (_, note) = site_table(run), shown_in(run)
    if table.empty:
        yield "No model has been kept yet."
        return
    title = f"Test AUC of each hospital, {CHOSEN}." + (f" {note}." if note else "")
    yield from (*wrapped(title), "", printed(table))
    if any(table[column].str.endswith(BEHIND).any() for column in (FINAL_AUC, KEPT_AUC)):
        yield from ("", *wrapped(f"{mark_of(standings(run, USED).reference)}."))
    over = "Over hospitals, final models; a mean counts every hospital once."
    yield from ("", *wrapped(over), "", printed(method_table(run)), "")
    at_threshold = threshold_table(run)
    if len(at_threshold):
        told = f"At the threshold, final models. {decisions_note(run)}."
        if run.study.common.data.classes:
            told = f"Over classes, final models. {decisions_note(run)}."
        yield from (*wrapped(told), "", printed(at_threshold), "")
    by_class = class_table(run)
    if len(by_class):
        yield from ("Each class against the rest, final models.", "", printed(by_class), "")
    yield from wrapped("; ".join(f"{name}: {meaning}" for name, meaning in MODELS.items()) + ".")
    yield from ("", *wrapped(effort_sentence(run)))
    yield from wrapped(f"Computed in {precision_text(run)}.")
    if run.elsewhere:
        missing = "Intervals over images, and figures of predictions and vaults, are missing."
        yield from wrapped(f"{missing}{run.elsewhere} Then: consilium report {run.folder}")


def _targets(run: Run) -> list[str]:
    """Return who reached the target of a rollout; each of a few hospitals by name."""
    by_method = table_by_method(run) if len(run.timeline) else pd.DataFrame()
    if by_method.empty:
        return []
    by_site = table_by_site(run)
    title = "Rollout: hospitals that reached their target validation AUC."
    lines = ["", *wrapped(title), "", printed(by_method)]
    few = by_site["site"].nunique() <= MOST_PANELS
    return [*lines, "", printed(by_site)] if few else lines
