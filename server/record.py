"""What the server writes down of a run: numbers, events and virtual time."""

import csv
import io
import json
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from federated.errors import UserError
from federated.exchange.replies import Reply
from federated.exchange.wire import Report
from federated.runs.columns import METRIC_COLUMNS, RECEIVED_COLUMNS, TIMELINE_COLUMNS
from federated.runs.folder import RunFolder
from federated.storage import write_bytes
from server.rows import Count, Extent, Key, belongs, count_of, cut, lines_of, without_torn


@dataclass(frozen=True)
class Span:
    """What a site did from ``start`` to ``end``, virtual hours since week 0."""

    site: str
    activity: str
    start: float
    end: float


Listener = Callable[[Mapping[str, Any]], None]


class Record:
    """Appends to ``metrics.csv``, ``events.jsonl`` and tables, for any number of threads.

    Cells that run side by side write to the same files. So what a checkpoint knows, and what is
    taken back after a crash, is a cell's own rows, wherever they lie among the others'.

    Args:
        folder: The run's.
        run: The run's id.
        listener: Told of every event.
    """

    def __init__(self, folder: Path, run: str = "", listener: Listener | None = None) -> None:
        self.folder, self.run = folder, run
        self._listener = listener
        files = RunFolder(folder)
        self._metrics, self._events, self._timeline = files.metrics, files.events, files.timeline
        self._received = files.received
        self._heads = {
            self._metrics: METRIC_COLUMNS,
            self._timeline: TIMELINE_COLUMNS,
            self._received: RECEIVED_COLUMNS,
        }
        self._counts: dict[tuple[Key, str], Count] = defaultdict(Count)
        self._lock = threading.RLock()

    def add(self, method: str, seed: int, round: int, reports: Iterable[Report]) -> None:
        """Append reports to ``metrics.csv``, numbers in full precision."""
        rows = [
            (method, seed, round, r.site, r.split, r.model, name, repr(value), r.num_examples)
            for r in reports
            for name, value in r.metrics.items()
        ]
        self._append(self._metrics, csv_text(rows), (method, seed))

    def add_spans(self, method: str, seed: int, round: int, spans: Iterable[Span]) -> None:
        """Append to ``timeline.csv``, hours in full precision."""
        rows = [
            (method, seed, round, s.site, s.activity, repr(s.start), repr(s.end)) for s in spans
        ]
        self._append_with_head(self._timeline, rows, (method, seed))

    def add_received(
        self, cell: Key, round: int, action: str, replies: Mapping[str, Reply]
    ) -> None:
        """Append the digests of replies to ``received.csv``, by site."""
        payloads = {site: reply.payload for site, reply in replies.items()}
        rows = [
            (*cell, round, site, action, p.bytes, p.tensors, p.numbers)
            for site, p in payloads.items()
        ]
        self._append_with_head(self._received, rows, cell)

    def emit(self, kind: str, cell: Key | None = None, **facts: Any) -> None:
        """Append an event, of a cell or of the whole run, and tell the listener."""
        whose = {} if cell is None else {"method": cell[0], "seed": cell[1]}
        event = {"time": datetime.now(UTC).isoformat(), "kind": kind, **whose, **facts}
        self._append(self._events, json.dumps(event) + "\n", cell)
        if self._listener:
            self._listener(event)

    def _append_with_head(self, path: Path, rows: Iterable[Iterable[Any]], cell: Key) -> None:
        with self._lock:
            if not path.exists():
                self._append(path, csv_text([self._heads[path]]))
            self._append(path, csv_text(rows), cell)

    def _append(self, path: Path, text: str, cell: Key | None = None) -> None:
        content = text.encode()
        with self._lock:
            with path.open("ab") as file:
                file.write(content)
            if cell is not None:
                self._counts[cell, path.name].add(content)

    @property
    def _files(self) -> tuple[Path, ...]:
        return self._metrics, self._events, self._timeline, self._received

    def sizes(self, cell: Key) -> dict[str, Extent]:
        """Return how much a cell has in each file on disk, and what, for its checkpoint."""
        with self._lock:
            extents = {path.name: self._counts[cell, path.name].extent for path in self._files}
        for path in self._files:
            if path.exists():
                with path.open("ab") as file:
                    os.fsync(file.fileno())
        return extents

    def take_back(self, cell: Key, sizes: Mapping[str, Extent]) -> None:
        """Cut a cell's rows back to a checkpoint, or put back those that were set aside.

        Raises:
            UserError: they do not begin as they did then: something is lost that no round would
                repeat.
        """
        with self._lock:
            for path in self._files:
                self._take_back(path, cell, *sizes.get(path.name, Count().extent))

    def _take_back(self, path: Path, cell: Key, size: int, digest: str) -> None:
        lines = lines_of(path.read_bytes()) if path.exists() else []
        is_own, aside = belongs(cell, path in self._heads), self._aside(path.name, cell, size)
        if aside.exists():
            lines = [line for line in lines if not is_own(line)] + lines_of(aside.read_bytes())
        self._check_head(path, lines)
        own = b"".join(line for line in lines if is_own(line))
        if len(own) < size:
            whose = f"of {cell[0]} with seed {cell[1]}"
            raise self._damaged(path, f"it has {len(own)} bytes {whose}, and had {size}")
        count = self._counts[cell, path.name] = count_of(own[:size])
        if count.extent != (size, digest):
            raise self._damaged(path, "its SHA-256 is another")
        if aside.exists() or len(own) > size:
            write_bytes(path, cut(lines, is_own, size))
            aside.unlink(missing_ok=True)

    def _check_head(self, path: Path, lines: list[bytes]) -> None:
        head = csv_text([self._heads[path]]).encode() if path in self._heads else b""
        if head and (lines or path == self._metrics) and lines[:1] != [head]:
            raise self._damaged(path, "its first line is not that of its columns")

    def mend(self) -> None:
        """Remove what a crash left of a line; the rows of all cells must have been compared."""
        for path in self._files:
            content = path.read_bytes() if path.exists() else b""
            if (whole := without_torn(content, path in self._heads)) != content:
                write_bytes(path, whole)

    def _damaged(self, path: Path, difference: str) -> UserError:
        return UserError(
            f"{path} is damaged: {difference} when the newest checkpoint was written. Put it back "
            "from a copy, or begin the run anew in another folder."
        )

    def set_aside(self, cell: Key, sizes: Mapping[str, Extent]) -> None:
        """Copy a cell's rows as of a checkpoint, to go forward again should a round fail."""
        for path in self._files:
            if path.exists():
                is_own, size = belongs(cell, path in self._heads), sizes[path.name][0]
                own = b"".join(line for line in lines_of(path.read_bytes()) if is_own(line))
                write_bytes(self._aside(path.name, cell, size), own[:size])

    def forget_copies(self, cell: Key) -> None:
        """Remove what was set aside of a cell."""
        for path in self.folder.glob(f".*.{cell[0]}-{cell[1]}.*.aside"):
            path.unlink()

    def _aside(self, name: str, cell: Key, size: int) -> Path:
        return self.folder / f".{name}.{cell[0]}-{cell[1]}.{size}.aside"


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
