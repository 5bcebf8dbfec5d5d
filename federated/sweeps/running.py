"""Run a sweep: each of its runs, whose cells go side by side; what failed once more, by name."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federated.config.study import Study
from federated.data import prepare, site_names
from federated.engine import carry_out, check
from federated.errors import UserError
from federated.runs.folder import RunFolder
from federated.runs.reading import load
from federated.sweeps.plan import PlannedRun, Sweep
from federated.sweeps.results import Cell, ended_cells, keep, tidy

Listener = Callable[[Mapping[str, Any]], None]
Watch = Callable[[Study, tuple[str, ...]], AbstractContextManager[Listener]]
"""What shows a run while it runs."""


@dataclass
class SweepRun:
    """A sweep on its way.

    Attributes:
        sweep: What is to run.
        folder: Where its runs lie.
        results: Where what is kept of each cell goes.
        watch: Shows each run.
        say: Prints a line.
        retries: How often a run whose cells stopped is gone on with.
        ended: Cells that have ended since this process began.
        began: When it did.
    """

    sweep: Sweep
    folder: Path
    results: Path
    watch: Watch
    say: Callable[[str], None]
    retries: int = 1
    ended: int = 0
    began: float = field(default_factory=time.monotonic)

    def run(self) -> dict[tuple[str, Cell], str]:
        """Run all that has not ended; return the cells that stopped, each with the reason."""
        self.check()
        stopped: dict[tuple[str, Cell], str] = {}
        for planned in self.sweep.runs:
            reason = self._run(planned)
            left = cells_left(planned, self.folder)
            stopped |= {(planned.name, cell): reason for cell in left}
        return stopped

    def check(self) -> None:
        """Find mistakes in any of the runs before the first begins, and fill the one cache.

        Raises:
            UserError: a run is wrong.
        """
        for planned in self.sweep.runs:
            check(planned.study)
            prepare(planned.study.common)

    def _run(self, planned: PlannedRun) -> str:
        """Run, or go on with, one run; return why its cells stopped, if any did for good."""
        reason = ""
        for attempt in range(1 + self.retries):
            if not cells_left(planned, self.folder):
                break
            if attempt:
                self.say(f"{planned.name}: once more what stopped: {reason}")
            reason = self._try(planned)
            keep(planned, self.folder / planned.name, self.results)
        keep(planned, self.folder / planned.name, self.results)
        return reason

    def _try(self, planned: PlannedRun) -> str:
        study, folder = planned.study, self.folder / planned.name
        given = {**planned.given, "folder": str(folder.absolute())}
        self.say(f"{planned.name}: {len(cells_left(planned, self.folder))} cells to run")
        with self.watch(study, site_names(study.common)) as shown:

            def listen(event: Mapping[str, Any]) -> None:
                shown(event)
                if event["kind"] == "cell-ended":
                    keep(planned, folder, self.results)
                    self._tell_time(f"{event['method']}, seed {event['seed']}", planned)

            try:
                carry_out(given, listen)
            except UserError as error:
                return str(error)
        return ""

    def _tell_time(self, cell: str, current: PlannedRun) -> None:
        """Say how many cells are left, and about how long they take at the pace so far."""
        self.ended += 1
        left = sum(len(cells_left(planned, self.folder)) for planned in self.sweep.runs)
        seconds = (time.monotonic() - self.began) / self.ended * left
        whole = sum(len(planned.study.cells()) for planned in self.sweep.runs)
        about = f"; about {seconds / 60:.0f} min left" if left else ""
        self.say(f"{current.name}: {cell} has ended, {whole - left} of {whole} cells{about}")

    def write_table(self) -> list[Path]:
        """Write the one tidy table as CSV and Parquet."""
        table = tidy(self.results)
        paths = [self.folder / f"table.{kind}" for kind in ("csv", "parquet")]
        table.to_csv(paths[0], index=False)
        table.to_parquet(paths[1], index=False)
        return paths


def cells_left(planned: PlannedRun, folder: Path) -> list[Cell]:
    """Return the cells of a run that have not ended yet."""
    place = folder / planned.name
    ended = ended_cells(load(place)) if RunFolder(place).metrics.exists() else set()
    return [cell for cell in planned.study.cells() if cell not in ended]
