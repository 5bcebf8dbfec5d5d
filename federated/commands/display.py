"""The live table of a run in a terminal: how far each cell is, and what its sites do and reach."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.spinner import Spinner
from rich.table import Table

from federated.config.study import Study
from federated.engine.grid import FIRST_SITE_NODE
from federated.exchange.actions import DOING

SHOWN_SITES = 16
"""Rows of the live table; with more sites, those with the lowest AUC are shown."""
SHOWN_CELLS = 4
"""Columns of the live table; with more cells at work, those that began first are shown."""

Cell = tuple[str, int]


def title_of(event: Mapping[str, Any]) -> str:
    """Return the name of an event's cell."""
    return f"{event['method']}, seed {event['seed']}"


class Display:
    """Turns events into what a user sees: a bar for each cell at work, a column for its AUCs."""

    def __init__(self, study: Study, sites: tuple[str, ...]) -> None:
        self.sites = sites
        self.doing: Counter[tuple[str, str]] = Counter()
        self.auc: dict[Cell, dict[str, float | None]] = {}
        self.best: dict[str, float] = {}
        self.speed = 0.0
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
        )
        rounds = [study.by_method[method].rounds for method, _ in study.cells()]
        # The last steps of a cell take about as long as a round.
        total, unit = sum(rounds) + len(rounds), "rounds + last steps"
        self.whole = self.bars.add_task("whole run", total=total, unit=unit)
        self.cells: dict[Cell, TaskID] = {}
        self.done: dict[Cell, int] = {}
        self.ended: set[Cell] = set()
        engine = "Ray" if study.common.engine.kind == "ray" else "the engine"
        self.starting = Spinner("dots", f"starting {engine} and asking the hospitals")

    def take(self, event: Mapping[str, Any]) -> None:
        """Update what is shown."""
        kind = event["kind"]
        if kind in ("site-started", "site-ended"):
            site = self.sites[event["node"] - FIRST_SITE_NODE]
            self.doing[site, DOING[event["action"]]] += 1 if kind == "site-started" else -1
        elif kind == "cell-started":
            self._begin(event)
        elif kind == "cell-passed-over":  # it had ended when the run was last stopped
            cell = event["method"], event["seed"]
            self.done[cell] = event["rounds"]
            self.ended.add(cell)
            self._count()
        elif kind == "round-ended":
            self._advance(event)
        elif kind == "last-steps-started":
            task = self.cells[event["method"], event["seed"]]
            self.bars.update(task, description=f"{title_of(event)}, last steps")
        elif kind in ("cell-ended", "cell-stopped"):
            self._end((event["method"], event["seed"]), whole=kind == "cell-ended")

    def _begin(self, event: Mapping[str, Any]) -> None:
        cell = event["method"], event["seed"]
        if cell not in self.cells:
            total, title = event["rounds"], title_of(event)
            self.cells[cell] = self.bars.add_task(title, total=total, unit="rounds")
        if not self.auc:
            self.best = {}
        self.auc[cell] = {}
        self._at(cell, event["after"])

    def _at(self, cell: Cell, round: int) -> None:
        """Show how many rounds a cell has done; it may begin a second time for its last steps."""
        self.done[cell] = round
        self.bars.update(self.cells[cell], completed=round)
        self._count()

    def _count(self) -> None:
        """Show how much of the whole run is done."""
        self.bars.update(self.whole, completed=sum(self.done.values()) + len(self.ended))

    def _end(self, cell: Cell, *, whole: bool) -> None:
        self.ended |= {cell} if whole else set()
        self._count()
        self.bars.remove_task(self.cells.pop(cell))
        self.auc.pop(cell, None)

    def _advance(self, event: Mapping[str, Any]) -> None:
        cell = event["method"], event["seed"]
        self.speed = event["images"] / event["seconds"] * max(1, len(self.cells))
        self.auc[cell] = event["val_auc"] or self.auc[cell]  # a round may go without evaluation
        known = {site: auc for site, auc in event["val_auc"].items() if auc is not None}
        self.best |= {site: max(auc, self.best.get(site, auc)) for site, auc in known.items()}
        if "week" in event:
            week = f"{title_of(event)}, week {event['week']:.4g}"
            self.bars.update(self.cells[cell], description=week)
        self._at(cell, event["round"])

    def now(self, site: str) -> str:
        """Return what a site does now; cells that run side by side may each want something."""
        return ", ".join(
            deed if count == 1 else f"{deed} × {count}"
            for (who, deed), count in self.doing.items()
            if who == site and count > 0
        )

    def __rich__(self) -> Group:
        shown_cells = list(self.auc)[:SHOWN_CELLS]
        table = Table(box=None, pad_edge=False)
        titles = [f"{m}, seed {s}" for m, s in shown_cells] if len(self.auc) > 1 else ["val AUC"]
        for title in ("site", "now", *titles, "best"):
            table.add_column(title, min_width=10)
        lowest = {site: min(self._known(site), default=2.0) for site in self.sites}
        shown = sorted(
            sorted(self.sites, key=lowest.__getitem__)[:SHOWN_SITES], key=self.sites.index
        )
        for site in shown:
            numbers = [self.auc[cell].get(site) for cell in shown_cells] or [None]
            text = ["-" if n is None else f"{n:.3f}" for n in (*numbers, self.best.get(site))]
            table.add_row(site, self.now(site), *text)
        hidden = len(self.sites) - len(shown)
        more = f", {hidden} more sites with higher AUC not shown" if hidden else ""
        foot = f"{self.speed:.0f} images/s{more}" if self.done else self.starting
        return Group(self.bars, table, foot)

    def _known(self, site: str) -> list[float]:
        found = (aucs.get(site) for aucs in self.auc.values())
        return [auc for auc in found if auc is not None]
