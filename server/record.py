"""What the server writes down of a run: numbers, events and virtual time."""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from federated.errors import UserError
from federated.exchange.wire import Report
from federated.runs.columns import TIMELINE_COLUMNS
from federated.runs.folder import RunFolder
from federated.storage import write_bytes


@dataclass(frozen=True)
class Span:
    """What a site did from ``start`` to ``end``, virtual hours since week 0."""

    site: str
    activity: str
    start: float
    end: float


Listener = Callable[[Mapping[str, Any]], None]

Extent = tuple[int, str]
"""Length of a file in bytes, and SHA-256 of it."""


class Record:
    """Appends to ``metrics.csv`` and ``events.jsonl``, and can take back what a crash left.

    Args:
        folder: The run's.
        run: The run's id.
        listener: Told of every event.
    """

    def __init__(self, folder: Path, run: str = "", listener: Listener | None = None) -> None:
        self.folder, self.run = folder, run
        self._listener = listener
        files = RunFolder(folder)
        self._read: dict[str, tuple[Any, int]] = {}
        self._metrics, self._events, self._timeline = files.metrics, files.events, files.timeline

    def add(self, method: str, seed: int, round: int, reports: Iterable[Report]) -> None:
        """Append reports to ``metrics.csv``, numbers in full precision."""
        with self._metrics.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            for r in reports:
                start = (method, seed, round, r.site, r.split, r.model)
                rows.writerows((*start, k, repr(v), r.num_examples) for k, v in r.metrics.items())

    def add_spans(self, method: str, seed: int, round: int, spans: Iterable[Span]) -> None:
        """Append to ``timeline.csv``, hours in full precision."""
        is_new = not self._timeline.exists()
        with self._timeline.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            if is_new:
                rows.writerow(TIMELINE_COLUMNS)
            for s in spans:
                rows.writerow((method, seed, round, s.site, s.activity, repr(s.start), repr(s.end)))

    def emit(self, kind: str, **facts: Any) -> None:
        """Append an event and tell the listener."""
        event = {"time": datetime.now(UTC).isoformat(), "kind": kind, **facts}
        with self._events.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        if self._listener:
            self._listener(event)

    def sizes(self) -> dict[str, Extent]:
        """Return how long the files on disk are and what is in them, for the checkpoint."""
        extents = {}
        for path in (self._metrics, self._events, self._timeline):
            if not path.exists():
                continue
            with path.open("ab") as file:
                os.fsync(file.fileno())
            extents[path.name] = self._extent(path)
        return extents

    def _extent(self, path: Path) -> Extent:
        """Return a file's length and SHA-256; only what came since the last time is read."""
        digest, length = self._read.get(path.name, (hashlib.sha256(), 0))
        with path.open("rb") as file:
            file.seek(length)
            while block := file.read(2**20):
                digest.update(block)
                length += len(block)
        self._read[path.name] = digest, length
        return length, digest.hexdigest()

    def take_back(self, sizes: Mapping[str, Extent]) -> None:
        """Cut the files back to what they were at a checkpoint, or put back what was set aside.

        Raises:
            UserError: one does not begin as it did then: something is lost that no round would
                repeat.
        """
        self._read = {}
        if self._timeline.name not in sizes:
            self._timeline.unlink(missing_ok=True)
        for name, (size, digest) in sizes.items():
            path, aside = self.folder / name, self._aside(name, size)
            if aside.exists():
                aside.replace(path)
            length = path.stat().st_size if path.exists() else 0
            if length < size:
                raise self._damaged(path, f"it has {length} bytes, and had {size}")
            os.truncate(path, size)
            if self._extent(path) != (size, digest):
                raise self._damaged(path, "its SHA-256 is another")

    def _damaged(self, path: Path, difference: str) -> UserError:
        return UserError(
            f"{path} is damaged: {difference} when the newest checkpoint was written. Put it back "
            "from a copy, or begin the run anew in another folder."
        )

    def set_aside(self, sizes: Mapping[str, Extent]) -> None:
        """Copy the files as they were at a checkpoint, to go forward again should a round fail."""
        for name, (size, _) in sizes.items():
            write_bytes(self._aside(name, size), (self.folder / name).read_bytes()[:size])

    def forget_copies(self) -> None:
        """Remove what was set aside."""
        for path in self.folder.glob(".*.aside"):
            path.unlink()

    def _aside(self, name: str, size: int) -> Path:
        return self.folder / f".{name}.{size}.aside"
