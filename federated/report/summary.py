"""The summary of a run as a command prints it."""

import pandas as pd

from federated.answers.benefit import table_by_method, table_by_site
from federated.plots.numbers import MOST_PANELS, shown_sites, values
from federated.plots.text import markdown
from federated.report.effort import effort_sentence
from federated.report.precision import precision_text
from federated.report.tables import BEHIND, CHOSEN, MARK, method_table, site_table
from federated.runs.reading import Run


def summary_table(run: Run) -> str:
    """Return test metrics of the kept models as Markdown that is also readable as it is."""
    table = site_table(run)
    _, note = shown_sites(values(run, "auc", "test", "kept"), "auc")
    lines = [f"Test metrics of the kept models, {CHOSEN}." + (f" {note}." if note else ""), ""]
    lines += markdown(table) if len(table) else ["No model has been kept yet."]
    lines += ["", *markdown(method_table(run))] if len(table) else []
    lines += ["", effort_sentence(run), f"Computed in {precision_text(run)}."] if len(table) else []
    lines += ["", MARK] if any(table["AUC"].str.endswith(BEHIND)) else []
    lines += _targets(run)
    return "\n".join(lines) + "\n"


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
