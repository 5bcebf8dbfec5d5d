"""The ledgers of a run's hospitals, and the server's own list of what it received, read."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from federated.errors import UserError
from federated.exchange.audit import Received
from federated.exchange.ledger import LedgerError, entries
from federated.lazy import pd
from federated.runs.columns import RECEIVED_COLUMNS, ROUND
from federated.runs.folder import LEDGER, RunFolder
from federated.runs.once import once
from federated.runs.reading import Run


def ledgers_in(folder: Path) -> list[Path]:
    """Return the ledgers below a run's folder, or below that of a hospital's vaults.

    Raises:
        UserError: there is none.
    """
    sites = RunFolder(folder).sites.path
    paths = sorted((sites if sites.is_dir() else folder).rglob(LEDGER))
    if not paths:
        elsewhere = Run(folder).elsewhere if RunFolder(folder).config.exists() else ""
        raise UserError(f"{folder} holds no ledger (SITE/METHOD/seed-N/{LEDGER}).{elsewhere}")
    return paths


def received_in(path: Path) -> list[Received]:
    """Return the rows of a ``received.csv``.

    Raises:
        UserError: there is none, or it has other columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows: list[Received] = [*table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}); name the server's list: --received FILE."
        ) from None
    if tuple(table.fieldnames or ()) != RECEIVED_COLUMNS or any(None in row for row in rows):
        raise UserError(f"{path} is no list of what a server received: its columns are others.")
    return rows


def bytes_left(folder: Path) -> pd.DataFrame:
    """Return what left all hospitals together, of each kind of tensor.

    Returns:
        Columns method, seed, round, kind, bytes; kinds of which nothing left have 0.

    Raises:
        UserError: there is no ledger.
        LedgerError: a chain is broken.
    """
    totals: dict[tuple[str, int, int, str], int] = defaultdict(int)
    for path in ledgers_in(folder):
        method, seed = path.parts[-3], int(path.parts[-2].removeprefix("seed-"))
        for entry in entries(path):
            facts = entry["facts"]
            for kind, size in facts["bytes"].items():
                totals[method, seed, facts["round"], kind] += size
    rows = [(*key, size) for key, size in sorted(totals.items())]
    return pd.DataFrame(rows, columns=["method", "seed", "round", "kind", "bytes"])


@once
def left(run: Run) -> pd.DataFrame:
    """Return ``bytes_left`` of a run.

    Raises:
        UserError: there is no ledger here, or one whose chain is broken.
    """
    try:
        return bytes_left(run.folder)
    except LedgerError as error:
        raise UserError(f"{error}; consilium ledger verify {run.folder} tells of all.") from error


def received_bytes(run: Run) -> pd.DataFrame:
    """Return method, seed, round and the bytes of tensors that the server received in it.

    Empty for a run without such a list.

    Raises:
        UserError: it has other columns, or rows that are none.
    """
    path = run.files.received
    if not path.exists():
        return pd.DataFrame(columns=[*ROUND, "bytes"])
    kinds = {"method": str, "seed": int, "round": int, "bytes": int}
    try:  # not row by row: a thousand hospitals fill it with a million
        frame = pd.read_csv(path, dtype=kinds)
    except ValueError as error:
        raise UserError(f"{path} is no list of what a server received: {error}.") from None
    if tuple(frame.columns) != RECEIVED_COLUMNS:
        raise UserError(f"{path} is no list of what a server received: its columns are others.")
    return frame.groupby(ROUND, sort=False)["bytes"].sum().reset_index()
