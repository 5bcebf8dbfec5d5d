"""The summary of a run as a command prints it."""

from collections.abc import Iterator
from textwrap import fill

import pandas as pd

from federated.answers.benefit import table_by_method, table_by_site
from federated.plots.numbers import MOST_PANELS
from federated.plots.text import markdown
from federated.report.conclusion import MODELS, conclusion
from federated.report.effort import effort_sentence
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

WIDTH = 100


def summary_table(run: Run) -> str:
    """Return question, answer and test metrics as Markdown that is also readable as it is."""
    found = conclusion(run)
    lines = [*_wrapped(found.question), "", *_wrapped(" ".join(found.sentences)), ""]
    return "\n".join([*lines, *_tables(run), *_targets(run)]) + "\n"


def _wrapped(text: str) -> list[str]:
    return fill(text, WIDTH, break_on_hyphens=False, break_long_words=False).splitlines()


def _tables(run: Run) -> Iterator[str]:
    table, (_, note) = site_table(run), shown_in(run)
    if table.empty:
        yield "No model has been kept yet."
        return
    yield from (f"Test AUC of each hospital, {CHOSEN}." + (f" {note}." if note else ""), "")
    yield from markdown(table)
    if any(table[column].str.endswith(BEHIND).any() for column in (FINAL_AUC, KEPT_AUC)):
        yield from ("", f"{mark_of(standings(run, USED).reference)}.")
    yield from ("", *markdown(method_table(run)), "")
    at_threshold = threshold_table(run)
    if len(at_threshold):
        yield from (*markdown(at_threshold), "", *_wrapped(f"{decisions_note(run)}."), "")
    by_class = class_table(run)
    if len(by_class):
        yield from (*markdown(by_class), "")
    yield from _wrapped("; ".join(f"{name}: {meaning}" for name, meaning in MODELS.items()) + ".")
    yield from ("", *_wrapped(effort_sentence(run)), f"Computed in {precision_text(run)}.")


def _targets(run: Run) -> list[str]:
    """Return who reached the target of a rollout as Markdown; each of a few hospitals by name."""
    by_method = table_by_method(run) if len(run.timeline) else pd.DataFrame()
    if by_method.empty:
        return []
    by_site = table_by_site(run)
    lines = ["", "Rollout: hospitals that reached their target validation AUC.", ""]
    lines += markdown(by_method)
    few = by_site["site"].nunique() <= MOST_PANELS
    return [*lines, "", *markdown(by_site)] if few else lines
