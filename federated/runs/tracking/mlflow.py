"""MLflow: an experiment a run, with a run of MLflow's for each method and seed.

It writes ``trackers/mlflow.db``, to be looked at with ``mlflow ui --backend-store-uri
sqlite:///RUN/trackers/mlflow.db``, or where MLFLOW_TRACKING_URI says.
"""

import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nobody is told of a run

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from federated.runs.tracking import Cell, Settings

MOST_METRICS = 1000
"""That MLflow takes at once."""
MOST_PARAMS = 100


class MLflow:
    """Writes metrics with the round as their step; settings are the parameters of each run.

    Args:
        folder: Of all trackers of the run.
        name: The run's; the experiment has it.
        settings: Of each method.
    """

    def __init__(self, folder: Path, name: str, settings: Settings) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)  # not the making of its tables
        folder.mkdir(parents=True, exist_ok=True)
        here = f"sqlite:///{folder.absolute() / 'mlflow.db'}"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or here)
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._settings, self._runs = settings, dict[Cell, str]()

    def log(self, cell: Cell, round: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers at step ``round``; what is not finite is left out."""
        run, now = self._run(cell), int(time.time() * 1000)
        metrics = [
            Metric(_admitted(name), value, now, round)
            for name, value in numbers.items()
            if math.isfinite(value)
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(run, metrics=metrics[start : start + MOST_METRICS])

    def close(self) -> None:
        """Mark every run as finished."""
        for run in self._runs.values():
            self._client.set_terminated(run)

    def _run(self, cell: Cell) -> str:
        if cell not in self._runs:
            method, seed = cell
            run = self._client.create_run(self._experiment, run_name=f"{method}, seed {seed}")
            self._runs[cell] = run.info.run_id
            params = {"method": method, "seed": seed, **self._settings[method]}
            listed = [Param(key, str(value)) for key, value in params.items()]
            for start in range(0, len(listed), MOST_PARAMS):
                self._client.log_batch(self._runs[cell], params=listed[start : start + MOST_PARAMS])
        return self._runs[cell]


def _admitted(name: str) -> str:
    """Return a name with ``_`` for what MLflow's names may not have."""
    return "".join(c if c.isalnum() or c in "_-. /:" else "_" for c in name)


def open(folder: Path, run: str, settings: Settings) -> MLflow:
    """Return a tracker of a run."""
    return MLflow(folder, run, settings)
