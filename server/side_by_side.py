"""The cells of a run: as many side by side as the grid can serve, else one after the other.

Each cell is a thread that mostly waits for its sites; so no worker waits at a round's end, for
another cell has work for it. What a cell computes does not depend on what runs beside it. Only one
thing of a cell is another's: a hospital's last steps may use its model of the method ``local``, so
they wait until that has ended.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from federated.config.presets import ALONE
from server.cell import Cell, RunStoppedError
from server.relay import HaltedError, Relay
from server.rounds import run_cell
from server.rows import Key


class Lanes(Protocol):
    """What it takes of a grid to serve several cells at a time."""

    lanes: int

    def beside(self, cells: int) -> None:
        """Take note of how many cells are at work."""

    def halt(self) -> None:
        """Have whoever waits for a site give up."""


@dataclass
class SideBySide:
    """The cells of a run on their way.

    Attributes:
        cells: All cells, in order.
        start: Opens a cell.
        grid: Serves them; None: one after the other.
        relay: Made in the thread of the run.
        in_turn: No cell of a seed begins before ``local`` has ended, since hospitals may leave, and
            make their last steps, amid the rounds.
        waiting: Cells that have not begun, or whose rounds are done and last steps are not.
        running: Cells that are at work.
        through: Cells whose rounds are done.
        ended: Cells that have ended.
        stopped: Cells that could not go on.
    """

    cells: Sequence[Key]
    start: Callable[[Key], Cell]
    grid: Lanes | None
    relay: Relay
    in_turn: bool
    waiting: list[Key] = field(default_factory=list)
    running: dict[Key, threading.Thread] = field(default_factory=dict)
    through: set[Key] = field(default_factory=set)
    ended: set[Key] = field(default_factory=set)
    stopped: dict[Key, RunStoppedError] = field(default_factory=dict)

    @property
    def lanes(self) -> int:
        """How many cells the grid serves at a time."""
        return self.grid.lanes if self.grid else 1

    def run(self) -> None:
        """Run all cells to their ends; one that stops stops no other.

        Raises:
            RunStoppedError: the first cell that stopped, once all others have ended.
        """
        self.waiting = list(self.cells)
        try:
            while self._start_some() or self.running:
                if self.running:
                    self.relay.serve()
        finally:
            self._halt()
        self._raise_stopped()

    def _start_some(self) -> bool:
        """Begin, or with one lane run, the cells whose turn it is; return whether there were any.

        So many as there are lanes. Towards the end all that are left: they end together, and no
        worker waits for the last one.
        """
        left = len(self.waiting) + len(self.running)
        most = left if self.lanes > 1 and left < 2 * self.lanes else self.lanes
        ready = [key for key in self.waiting if self._may_begin(key)]
        turn = ready[: max(0, most - len(self.running))]
        for key in turn:
            self.waiting.remove(key)
            work = partial(self._work, self.start(key))
            if self.lanes == 1:
                work()
                continue
            self.running[key] = threading.Thread(target=work, name=f"{key}", daemon=True)
            self._tell_grid()
            self.running[key].start()
        return bool(turn)

    def _may_begin(self, key: Key) -> bool:
        method, seed = key
        if method == ALONE:
            # Nor must those before it, which go without it, find it there when they are repeated.
            before = self.cells[: self.cells.index(key)]
            return all(other in self.ended for other in before if other[1] == seed)
        return self._may_end(key) or not (self.in_turn or key in self.through)

    def _may_end(self, key: Key) -> bool:
        """Return whether there is no model of ``local`` to wait for."""
        alone = (ALONE, key[1])
        return alone in self.ended or alone not in self.cells[: self.cells.index(key)]

    def _work(self, cell: Cell) -> None:
        """Run a cell, and tell at home how it came out."""
        try:
            try:
                has_ended = run_cell(cell, lambda: self._may_end(cell.key))
                self.relay.call(partial(self._take, cell.key, has_ended))
            except RunStoppedError as error:
                cell.emit("cell-stopped", reason=str(error))
                self.relay.call(partial(self._take_stop, cell.key, error))
        except HaltedError:
            return
        except BaseException as error:
            if threading.current_thread() is not self.running.get(cell.key):
                raise
            with suppress(HaltedError):
                self.relay.call(partial(self._fail, error))

    def _take(self, key: Key, has_ended: bool) -> None:
        self._leave(key)
        if has_ended:
            self.ended.add(key)
        else:
            self.through.add(key)
            self.waiting.insert(0, key)

    def _take_stop(self, key: Key, error: RunStoppedError) -> None:
        self._leave(key)
        self.stopped[key] = error

    def _fail(self, error: BaseException) -> None:
        raise error

    def _leave(self, key: Key) -> None:
        self.running.pop(key, None)
        self._tell_grid()

    def _tell_grid(self) -> None:
        if self.grid:
            self.grid.beside(max(1, len(self.running)))

    def _halt(self) -> None:
        """End the threads that are left, if the run ends before them."""
        self.relay.halted = True
        if self.grid and self.running:
            self.grid.halt()
        for thread in self.running.values():
            thread.join()

    def _raise_stopped(self) -> None:
        left = [cell for cell in self.cells if cell not in self.ended]
        if not left:
            return
        error = next(self.stopped[cell] for cell in left if cell in self.stopped)
        if len(left) > 1:
            names = ", ".join(f"{method} seed {seed}" for method, seed in left)
            raise type(error)(f"{error} In all, these did not end: {names}.") from error
        raise error
