"""The run folder as the server writes it: what is known of the run outside the hospitals.

RUN/
config.toml                 every setting; reading it again gives the same run
environment.json            versions, commit, processor
metrics.csv                 long form: one number a line
events.jsonl                what happened when
timeline.csv                a rollout in virtual time: who did what from when to when
METHOD/seed-0/              checkpoint of the last rounds, shared.safetensors at the end
sites/                      the hospitals' own side, closed to the server
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from federated.config.given import parse_toml, read_toml
from federated.config.study import parse, same_numbers
from federated.errors import UserError
from federated.exchange.wire import Report
from federated.runs.columns import METRIC_COLUMNS, TIMELINE_COLUMNS
from federated.storage import write_bytes


@dataclass(frozen=True)
class Span:
    """What a site did from ``start`` to ``end``, virtual hours since week 0."""

    site: str
    activity: str
    start: float
    end: float


Listener = Callable[[Mapping[str, Any]], None]


class Record:
    """Appends to ``metrics.csv`` and ``events.jsonl``, and can take back what a crash left."""

    def __init__(self, folder: Path, listener: Listener | None = None) -> None:
        self.folder = folder
        self._listener = listener
        self._metrics = folder / "metrics.csv"
        self._events = folder / "events.jsonl"
        self._timeline = folder / "timeline.csv"

    @classmethod
    def open(
        cls, folder: Path, config: str, environment: Mapping[str, Any], listener: Listener | None
    ) -> "Record":
        """Return the record of a new run, or of the run already in ``folder`` if it is the same.

        Raises:
            UserError: the folder holds a run with another configuration.
        """
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "config.toml"
        if written.exists() and not _same_numbers(written, config):
            raise UserError(
                f"{folder} holds a run with other settings; name another folder, or go on with "
                f"that run: consilium resume {folder}"
            )
        record = cls(folder, listener)
        if not written.exists():
            content = json.dumps(environment, indent=1).encode()
            write_bytes(folder / "environment.json", content)
            write_bytes(record._metrics, (",".join(METRIC_COLUMNS) + "\n").encode())
            write_bytes(record._events, b"")
            write_bytes(written, config.encode())
        return record

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

    def sizes(self) -> dict[str, int]:
        """Return the lengths of the files on disk, in bytes, for the checkpoint to remember."""
        lengths = {}
        for path in (self._metrics, self._events, self._timeline):
            if not path.exists():
                continue
            with path.open("ab") as file:
                os.fsync(file.fileno())
            lengths[path.name] = path.stat().st_size
        return lengths

    def take_back(self, sizes: Mapping[str, int]) -> None:
        """Cut the files back to what they were at a checkpoint."""
        if self._timeline.name not in sizes:
            self._timeline.unlink(missing_ok=True)
        for name, size in sizes.items():
            os.truncate(self.folder / name, size)


def _same_numbers(written: Path, config: str) -> bool:
    """Return whether the run on disk and the one to record give the same results to the bit."""
    asked = parse_toml(config, "the run's configuration")
    return same_numbers(parse(read_toml(written)), parse(asked))
