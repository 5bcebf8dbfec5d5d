"""Trackers: TensorBoard, MLflow and Weights & Biases are told every number of a run as it comes.

``track = "tensorboard,mlflow"`` names those that are told. Each is an extra that is imported only
then, writes into ``trackers/`` of the run folder, and talks to no other machine unless its own
environment variables say so. What they are told is what is in ``metrics.csv``: one place decides
what is measured.
"""

import csv
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from federated.config.keys import KEYS, plain
from federated.config.study import Study, value_of
from federated.errors import UserError, did_you_mean, shown
from federated.runs.columns import METRIC_COLUMNS
from federated.runs.folder import RunFolder

Cell = tuple[str, int]
Settings = Mapping[str, Mapping[str, bool | int | float | str]]
"""Method -> every setting of it by its dotted name."""
Listener = Callable[[Mapping[str, Any]], None]


class Tracker(Protocol):
    """What a tracker does; a file each."""

    def log(self, cell: Cell, round: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a round of a method with a seed, by ``SITE/SPLIT/MODEL/METRIC``."""

    def close(self) -> None:
        """Write out what was taken; nothing comes any more."""


TRACKERS: Mapping[str, str] = {
    "tensorboard": "federated.runs.tracking.tensorboard",
    "mlflow": "federated.runs.tracking.mlflow",
    "wandb": "federated.runs.tracking.wandb",
}
"""Name of each tracker, which is also that of its extra -> the module whose ``open`` begins it."""


def check_trackers(names: Sequence[str]) -> None:
    """Find a tracker that there is not, or that is not installed.

    Raises:
        UserError: naming it, and how to install it.
    """
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"track = {shown(name)} is none of {', '.join(TRACKERS)}"
                f"{did_you_mean(name, TRACKERS)}."
            )
        try:
            import_module(TRACKERS[name])
        except ImportError as error:
            raise UserError(
                f"track = {name}: {error.name} is not installed; pip install 'consilium[{name}]'."
            ) from error


@contextmanager
def tracked(folder: Path, study: Study, listener: Listener | None) -> Iterator[Listener | None]:
    """Yield a listener that also tells the configured trackers; the same listener if there is none.

    Args:
        folder: The run's.
        study: Names the trackers; its settings are what each run of theirs begins with.
        listener: Told of every event, too.

    Raises:
        UserError: a tracker is unknown or not installed.
    """
    names = study.common.track
    if not names:
        yield listener
        return
    check_trackers(names)
    files, settings = RunFolder(folder), settings_of(study)
    trackers = {
        name: import_module(TRACKERS[name]).open(files.trackers, study.common.name, settings)
        for name in names
    }
    told = Told(files.metrics, trackers)

    def listen(event: Mapping[str, Any]) -> None:
        if event["kind"] in ("round-ended", "cell-ended", "run-ended"):
            told.take_new()
        if listener:
            listener(event)

    try:
        yield listen
    finally:
        told.close()


def settings_of(study: Study) -> Settings:
    """Return every setting of every method, in a form that any tracker takes."""
    return {
        method: {name: plain(value_of(config, name)) for name in KEYS}
        for method, config in study.by_method.items()
    }


class Told:
    """Reads the rows that were added to ``metrics.csv`` and tells every tracker.

    A tracker that fails is told nothing more, with one line in the log: no tracker ends a run.

    Args:
        path: ``metrics.csv``; what is in it already was told by the process before this one.
        trackers: By name.
    """

    def __init__(self, path: Path, trackers: Mapping[str, Tracker]) -> None:
        self._path, self._trackers = path, dict(trackers)
        self._place = path.stat().st_size if path.exists() else 0

    def take_new(self) -> None:
        """Tell of all rows that came since the last time."""
        # A round that is repeated has had its rows taken back first.
        self._place = min(self._place, self._path.stat().st_size)
        with self._path.open("rb") as file:
            file.seek(self._place)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._place += len(whole)
        rounds: dict[tuple[str, int, int], dict[str, float]] = defaultdict(dict)
        for row in csv.DictReader(whole.decode().splitlines(), METRIC_COLUMNS):
            if row["method"] == "method":
                continue  # the line of column names
            where = (row["method"], int(row["seed"]), int(row["round"]))
            name = "/".join(row[key] for key in ("site", "split", "model", "metric"))
            rounds[where][name] = float(row["value"])
        for (method, seed, round), numbers in rounds.items():
            self._each("log", (method, seed), round, numbers)

    def close(self) -> None:
        """Have every tracker write out what it has."""
        self._each("close")

    def _each(self, deed: str, *facts: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, deed)(*facts)
            except Exception as error:
                del self._trackers[name]
                logging.getLogger("flwr").warning(
                    "%s failed (%s: %s) and is told nothing more; metrics.csv has every number.",
                    name,
                    type(error).__name__,
                    error,
                )
