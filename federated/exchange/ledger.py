"""A site's ledger: what left, when, how much of which kind; each line is tied to the one before.

A line of ``ledger.jsonl`` is an entry in JSON. ``chain`` is a digest of the chain so far and of the
entry's ``facts``, which are the same however often and wherever the run is repeated; ``seal`` ties
in the time, too. So an edit, a gap
and another order break the chain, and what is cut off its end is missed by what the server
received (``federated.exchange.audit``).
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, MetricRecord, RecordDict

from federated.exchange.schema import Schema
from federated.exchange.wire import records_of
from federated.storage import PRIVATE_FILE

TAIL = 65_536
"""Bytes at the end of a ledger among which its last line is."""
BEGINNING = hashlib.sha256(b"ledger").hexdigest()


class LedgerError(Exception):
    """A ledger that cannot be gone on with, or whose chain is broken."""


@dataclass(frozen=True)
class Payload:
    """What a reply holds, as site and server each compute it of what they have.

    Attributes:
        tensors: SHA-256 over names and bytes of all tensors, in their order.
        numbers: SHA-256 over all reports, whatever their order; the seconds that something took
            are left out, since they differ each time.
        bytes: Bytes of the tensors, as serialised.
    """

    tensors: str
    numbers: str
    bytes: int


def payload_of(content: RecordDict) -> Payload:
    """Return the digests of a reply's content."""
    tensors, size = hashlib.sha256(), 0
    for group, record in records_of(content, ArrayRecord).items():
        for name, array in record.items():
            tensors.update(f"{group}/{name}\0{len(array.data)}\0".encode())
            tensors.update(array.data)
            size += len(array.data)
    reports = [
        (key, sorted(item for item in record.items() if item[0] != "seconds"))
        for key, record in sorted(records_of(content, MetricRecord).items())
    ]
    text = repr(reports)
    return Payload(tensors.hexdigest(), hashlib.sha256(text.encode()).hexdigest(), size)


def bytes_by_kind(content: RecordDict, schema: Schema) -> dict[str, int]:
    """Return the bytes of a reply's tensors by their kind; norms and memory are always there."""
    sizes = dict.fromkeys(schema.kinds, 0)
    for group, record in records_of(content, ArrayRecord).items():
        for name, array in record.items():
            sizes[schema.kind(f"{group}/{name}")] += len(array.data)
    return sizes


def budget_of(content: RecordDict) -> float | None:
    """Return the largest privacy budget that a reply says is spent, None if it says none."""
    spent = [r["epsilon"] for r in records_of(content, MetricRecord).values() if "epsilon" in r]
    return max((float(value) for value in spent if isinstance(value, (int, float))), default=None)


def append(path: Path, facts: Mapping[str, Any], *, sync: bool) -> None:
    """Add an entry at a ledger's end; what a crash left of a line is no entry, and is cut off.

    Args:
        path: Of the ledger; made where there is none.
        facts: JSON values that are the same however the run is repeated.
        sync: Whether the entry must outlive a loss of power at once.

    Raises:
        LedgerError: its last line is no entry.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, TAIL, max(0, size - TAIL))
        end = tail.rfind(b"\n") + 1
        last = tail[:end].rstrip(b"\n").rpartition(b"\n")[2]
        if size > len(tail) and not end:
            raise LedgerError(f"{path} ends in no entry")
        before = parsed(last, path) if last else None
        at = size - len(tail) + end
        line = entry_line(before, facts, datetime.now(UTC).isoformat())
        os.ftruncate(descriptor, at)
        os.pwrite(descriptor, line, at)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def entry_line(before: Mapping[str, Any] | None, facts: Mapping[str, Any], time: str) -> bytes:
    """Return the line of an entry that follows ``before``, or is the first."""
    number = before["facts"]["number"] + 1 if before else 1
    whole = {"number": number, **facts}
    chain = _digest(before["chain"] if before else BEGINNING, whole)
    seal = _digest(before["seal"] if before else BEGINNING, [chain, time])
    entry = {"facts": whole, "chain": chain, "time": time, "seal": seal}
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"


def _digest(before: str, value: object) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return hashlib.sha256(f"{before}\0{text}".encode()).hexdigest()


def parsed(line: bytes, path: Path) -> dict[str, Any]:
    """Return the entry in a line, not compared with others.

    Raises:
        LedgerError: it is none.
    """
    try:
        entry = json.loads(line)
        entry["facts"]["number"], entry["chain"], entry["time"], entry["seal"]
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path}: a line is no entry of a ledger") from error
    return dict(entry)


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of a ledger, each compared with the one before; a torn last line is none.

    Raises:
        LedgerError: naming the first line that does not follow from the one before.
    """
    before = None
    *lines, _ = path.read_bytes().split(b"\n")
    for place, line in enumerate(lines, 1):
        entry = parsed(line, path)
        facts = {name: value for name, value in entry["facts"].items() if name != "number"}
        if entry_line(before, facts, entry["time"]) != line + b"\n":
            raise LedgerError(
                f"{path}: line {place} was edited, or does not follow from the one before"
            )
        yield entry
        before = entry
