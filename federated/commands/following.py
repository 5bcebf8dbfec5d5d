"""What the events of a run add up to: how far each cell is, and each site's AUC over its rounds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

RECENT = 20
"""Rounds over which the speed is a mean."""

Cell = tuple[str, int]


@dataclass
class Progress:
    """How far one method is with one seed.

    Attributes:
        rounds: In all.
        done: That have ended.
        ended: Whether the cell has.
        auc: Validation AUC of each site, a number a round, None where it is undefined.
        busy: Sites of the round that is under way.
        seconds: Of each round that has ended.
        images: Images trained on in each.
    """

    rounds: int
    done: int = 0
    ended: bool = False
    auc: dict[str, list[float | None]] = field(default_factory=dict)
    busy: tuple[str, ...] = ()
    seconds: list[float] = field(default_factory=list)
    images: list[float] = field(default_factory=list)


class Followed:
    """A run as its events tell it, taken in one after the other.

    Attributes:
        cells: Progress of every (method, seed) that has begun, in that order.
        sites: Training images of every registered site.
        warnings: Sentences on what went wrong.
        has_ended: Whether the run has.
        newest: Time of the newest event.
        current: The cell of the newest round; cells may run side by side.
    """

    def __init__(self) -> None:
        self.cells: dict[Cell, Progress] = {}
        self.sites: dict[str, int] = {}
        self.warnings: list[str] = []
        self.has_ended = False
        self.newest: datetime | None = None
        self.current: Cell | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event; kinds that say nothing of progress are passed over."""
        self.newest = datetime.fromisoformat(event["time"])
        kind = event["kind"]
        self.has_ended = kind == "run-ended"  # a run that has ended may have grown since
        if kind == "site-registered":
            self.sites[event["site"]] = int(event["num_examples"])
        elif kind == "site-failed":
            where = f"{event['method']}, seed {event['seed']}, round {event['round']}"
            self.warnings.append(f"{event['site']} was left out ({where}): {event['reason']}")
        elif kind == "update-shortened":
            where = f"{event['method']}, seed {event['seed']}, round {event['round']}"
            self.warnings.append(f"the update of {event['site']} was shortened ({where})")
        elif kind == "cell-stopped":
            self.warnings.append(f"{event['method']}, seed {event['seed']}: {event['reason']}")
        elif kind == "not-finite":
            where = f"{event['method']}, seed {event['seed']}, round {event['round']}"
            self.warnings.append(f"{event['site']} predicts no finite numbers ({where})")
        elif kind == "cell-started":
            cell = self.cells.setdefault(_cell_of(event), Progress(event["rounds"]))
            cell.ended = False
        elif kind != "cell-passed-over" and "method" in event and _cell_of(event) in self.cells:
            self.current = _cell_of(event)
            _advance(self.cells[self.current], event)

    @property
    def rounds_done(self) -> int:
        """Rounds that have ended, of all cells."""
        return sum(cell.done for cell in self.cells.values())

    @property
    def seconds_a_round(self) -> float | None:
        """Mean over the newest rounds of every cell; None before the first has ended."""
        newest = [s for cell in self.cells.values() for s in cell.seconds[-RECENT:]][-RECENT:]
        return sum(newest) / len(newest) if newest else None

    @property
    def images_a_second(self) -> float | None:
        """Images trained on a second, over the newest rounds."""
        cells = [cell for cell in self.cells.values() if cell.seconds]
        seconds = sum(sum(cell.seconds[-RECENT:]) for cell in cells)
        images = sum(sum(cell.images[-RECENT:]) for cell in cells)
        return images / seconds if seconds else None


def _cell_of(event: Mapping[str, Any]) -> Cell:
    return event["method"], event["seed"]


def _advance(cell: Progress, event: Mapping[str, Any]) -> None:
    if event["kind"] == "round-started":
        cell.busy = tuple(event.get("sites", ()))
    elif event["kind"] == "cell-ended":
        cell.ended, cell.busy = True, ()
    elif event["kind"] == "round-ended":
        cell.done, cell.busy = int(event["round"]), ()
        cell.seconds.append(float(event["seconds"]))
        cell.images.append(float(event["images"]))
        for site, auc in event["val_auc"].items():
            cell.auc.setdefault(site, []).append(auc)


class Tail:
    """Reads what was added to a file of events since the last look.

    Args:
        path: ``events.jsonl`` of a run, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._place = path, 0

    def shrunk(self) -> bool:
        """Return whether the file is shorter than what was read: a resumed run took lines back."""
        return self._path.exists() and self._path.stat().st_size < self._place

    def new(self) -> Iterator[dict[str, Any]]:
        """Yield the events of all whole lines that were not read before."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # half written
                self._place += len(line)
                try:
                    yield json.loads(line)
                except ValueError:
                    continue  # what a crash left; a resumed run takes it back
