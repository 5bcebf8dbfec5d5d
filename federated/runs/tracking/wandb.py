"""Weights & Biases: a group a run, with a run of theirs for each method and seed.

Offline, into ``trackers/wandb``, to be sent with ``wandb sync``; online only where WANDB_MODE says
so.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb as library

from federated.runs.tracking import Cell, Settings


class WeightsAndBiases:
    """Writes a step a round; settings are the configuration of each run.

    Args:
        folder: Of all trackers of the run.
        name: The run's; the group and, without WANDB_PROJECT, the project has it.
        settings: Of each method.
    """

    def __init__(self, folder: Path, name: str, settings: Settings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name = folder, name
        self._settings = settings
        self._runs: dict[Cell, Any] = {}

    def log(self, cell: Cell, round: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers at step ``round``."""
        if cell not in self._runs:
            self._runs[cell] = self._begun(*cell)
        self._runs[cell].log(dict(numbers), step=round)

    def close(self) -> None:
        """Write out every run."""
        for run in self._runs.values():
            run.finish()

    def _begun(self, method: str, seed: int) -> Any:
        return library.init(
            project=os.environ.get("WANDB_PROJECT") or self._name,
            group=self._name,
            name=f"{method}, seed {seed}",
            dir=str(self._folder),
            mode=None if os.environ.get("WANDB_MODE") else "offline",
            reinit="create_new",  # cells may run side by side
            config={"method": method, "seed": seed, **self._settings[method]},
            # Neither the machine, nor the code, nor what is printed: only the numbers.
            settings=library.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
            ),
        )


def open(folder: Path, run: str, settings: Settings) -> WeightsAndBiases:
    """Return a tracker of a run."""
    return WeightsAndBiases(folder, run, settings)
