"""Before round 1: what hospitals tell of their data, written down as they told it."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from federated.config.study import Study
from federated.errors import UserError
from federated.exchange.actions import Action
from federated.exchange.wire import Report
from federated.runs.columns import DATA_COLUMNS
from federated.runs.folder import RunFolder
from federated.storage import write_bytes
from server.asking import ask
from server.cell import Cell
from server.rows import Key


def ask_of_data(start: Callable[[Key], Cell], cells: Sequence[Key], study: Study) -> None:
    """Ask every hospital once and write ``data_statistics.csv``.

    Args:
        start: Makes a cell.
        cells: Of the run; the hospitals are those of the first that is not pooled.
        study: Says what may be told.

    Raises:
        UserError: all methods are pooled, so that no hospital speaks for itself.
        RunStoppedError: fewer answers than ``server.min-sites``.
    """
    key = next((key for key in cells if not study.by_method[key[0]].train.pooled), None)
    if key is None:
        raise UserError("statistics.ask needs a method that is not pooled; add local to methods.")
    cell = start(key)
    orders = [cell.order(site, 0) for site in cell.nodes]
    reports = ask(cell, Action.STATISTICS, orders, {}).reports
    write_bytes(RunFolder(cell.record.folder).data_statistics, text_of(reports).encode())


def text_of(reports: Iterable[Report]) -> str:
    """Return answers as CSV, one number a row, what was withheld as ``nan``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(DATA_COLUMNS)
    for report in reports:
        writer.writerow((report.site, "images", report.num_examples or "nan"))
        writer.writerows((report.site, name, repr(v)) for name, v in report.metrics.items())
    return text.getvalue()
