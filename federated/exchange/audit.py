"""Hold the ledgers of sites against what the server received: two records, kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federated.exchange.ledger import LedgerError, entries

Received = Mapping[str, str]
"""A row of ``received.csv``, by column."""


@dataclass(frozen=True)
class Audit:
    """What came of it.

    Attributes:
        ledgers: How many ledgers were read.
        entries: How many entries they hold.
        confirmed: How many of the server's rows are in the ledgers, with the same digests.
        rows: How many rows the server has of these ledgers' sites.
        faults: A sentence on each broken chain, and on each row that no ledger has.
    """

    ledgers: int
    entries: int
    confirmed: int
    rows: int
    faults: Sequence[str]


def audit(paths: Sequence[Path], received: Sequence[Received]) -> Audit:
    """Compare ledgers with rows of the server's.

    Args:
        paths: SITE/METHOD/seed-N/ledger.jsonl, wherever that is.
        received: What the server received; rows of sites without a ledger here do not count.
    """
    faults: list[str] = []
    left: set[tuple[str, ...]] = set()
    count = 0
    for path in paths:
        try:
            for entry in entries(path):
                count += 1
                left.add(_key(path, entry))
        except LedgerError as error:
            faults.append(f"{error}.")
    own = {path.parts[-4] for path in paths}
    rows = [row for row in received if row["site"] in own]
    missing = [row for row in rows if _row_key(row) not in left]
    faults += [
        f"{row['site']}: its ledger does not have what the server received of {row['action']} in "
        f"round {row['round']} of {row['method']}, seed {row['seed']}."
        for row in missing
    ]
    return Audit(len(paths), count, len(rows) - len(missing), len(rows), faults)


def _key(path: Path, entry: Mapping[str, object]) -> tuple[str, ...]:
    site, method, seed = path.parts[-4:-1]
    facts: Mapping[str, object] = entry["facts"]  # type: ignore[assignment]
    told = [facts.get(name) for name in ("round", "action", "tensors", "numbers")]
    return site, method, seed.removeprefix("seed-"), *map(str, told)


def _row_key(row: Received) -> tuple[str, ...]:
    names = ("site", "method", "seed", "round", "action", "tensors", "numbers")
    return tuple(row[name] for name in names)
