"""TensorBoard: a log a method and seed, to be compared in ``tensorboard --logdir RUN/trackers``."""

import math
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from federated.runs.tracking import Cell, Settings


class TensorBoard:
    """Writes scalars; settings are a text of the first step.

    Args:
        folder: Of all trackers of the run.
        settings: Of each method.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder / "tensorboard"
        self._writers: dict[Cell, SummaryWriter] = {}
        self._settings = settings

    def log(self, cell: Cell, round: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers as scalars at step ``round``; what is not finite is left out."""
        if cell not in self._writers:
            method, seed = cell
            self._writers[cell] = SummaryWriter(str(self._folder / method / f"seed-{seed}"))
            lines = [f"    {key} = {value}" for key, value in self._settings[method].items()]
            self._writers[cell].add_text("settings", "\n".join(lines), 0)
        for name, value in numbers.items():
            if math.isfinite(value):
                self._writers[cell].add_scalar(name, value, round)

    def close(self) -> None:
        """Write out every log."""
        for writer in self._writers.values():
            writer.close()


def open(folder: Path, run: str, settings: Settings) -> TensorBoard:
    """Return a tracker of a run; TensorBoard has no name for it but its folder's."""
    return TensorBoard(folder, settings)
