"""``consilium runs`` and ``consilium watch``: run folders at a glance, and one of them live."""

import argparse
import fcntl
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.commands.following import Followed, Progress, Tail
from federated.commands.forecast import duration
from federated.errors import UserError
from federated.runs.folder import RunFolder

if TYPE_CHECKING:
    from rich.console import RenderableType

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24
"""Characters of a sparkline; of more rounds, each stands for several."""
SHOWN_SITES = 16
SHOWN_WARNINGS = 4
REFRESH = 0.5
"""Seconds between looks at a run."""


def add(commands: Any) -> None:
    """Add the two commands to the command's subparsers."""
    runs = commands.add_parser("runs", help="list run folders: state, rounds, newest AUC")
    runs.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="(runs)")
    runs.set_defaults(call=_runs)
    watch = commands.add_parser(
        "watch", help="show a running or ended run live: sites, rounds, AUC, speed, time left"
    )
    watch.add_argument("folder", type=Path, help="the run's folder")
    watch.add_argument("--once", action="store_true", help="show it as it is now, and end")
    watch.set_defaults(call=_watch)


def _runs(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from federated.plots.terminal import printed

    if not arguments.folder.is_dir():
        raise UserError(
            f"there is no folder {arguments.folder}; name the one that holds your run folders, or "
            "make a run first: consilium run configs/demo.toml"
        )
    configs = sorted(arguments.folder.glob("*/config.toml")) or sorted(
        arguments.folder.glob("config.toml")
    )
    if not configs:
        print(f"{arguments.folder} holds no runs.")
        return
    print(printed(pd.DataFrame([_row(RunFolder(config.parent)) for config in configs])))


def _row(files: RunFolder) -> dict[str, str]:
    run = _followed(files)
    return {
        "run": files.path.name,
        "state": state_of(files, run),
        "rounds": f"{run.rounds_done} of {_rounds(run)}",
        "sites": str(len(run.sites)),
        "mean val AUC, newest round": _newest(run),
        # In the reader's own time, as his clock and his files have it.
        "last event": "–" if run.newest is None else f"{run.newest.astimezone():%Y-%m-%d %H:%M}",
    }


def _followed(files: RunFolder) -> Followed:
    run = Followed()
    for event in Tail(files.events).new():
        run.take(event)
    return run


def _rounds(run: Followed) -> int:
    return sum(cell.rounds for cell in run.cells.values())


def _newest(run: Followed) -> str:
    """Return the mean over sites of the newest AUC, of each method the mean over its seeds."""
    of_methods: dict[str, list[float]] = {}
    for (method, _), cell in run.cells.items():
        newest = [aucs[-1] for aucs in cell.auc.values() if aucs[-1] is not None]
        if newest:
            of_methods.setdefault(method, []).append(sum(newest) / len(newest))
    return ", ".join(f"{m} {sum(a) / len(a):.3f}" for m, a in of_methods.items()) or "–"


def state_of(files: RunFolder, run: Followed) -> str:
    """Return ``ended``, ``running`` (a process holds its lock) or ``stopped``."""
    if run.has_ended:
        return "ended"
    return "running" if _is_held(files.lock) else "stopped"


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _watch(arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.live import Live

    files, console = RunFolder(arguments.folder), Console()
    if not files.config.exists():
        raise UserError(f"{arguments.folder} holds no run (no config.toml).")
    run, tail = _followed(files), Tail(files.events)
    if arguments.once or not console.is_terminal or state_of(files, run) == "ended":
        console.print(picture(files, run))
        return
    run = Followed()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            if tail.shrunk():
                run, tail = Followed(), Tail(files.events)
            for event in tail.new():
                run.take(event)
            live.update(picture(files, run), refresh=True)
            if run.has_ended:
                return
            time.sleep(REFRESH)


def picture(files: RunFolder, run: Followed) -> "RenderableType":
    """Return what is shown of a run: its cells, the newest cell's sites, warnings, time left."""
    from rich.console import Group

    parts: list[RenderableType] = [_headline(files, run), _cells(run)]
    if run.current is not None:
        method, seed = run.current
        parts.append(_sites(f"{method}, seed {seed}", run.cells[run.current]))
    if run.warnings:
        hidden = len(run.warnings) - SHOWN_WARNINGS
        parts += [f"[yellow]{text}[/]" for text in run.warnings[-SHOWN_WARNINGS:]]
        parts += [f"and {hidden} earlier warnings; see {files.events}"] if hidden > 0 else []
    return Group(*parts)


def _headline(files: RunFolder, run: Followed) -> str:
    state, words = state_of(files, run), []
    if (speed := run.images_a_second) is not None:
        words.append(f"{speed:.0f} images/s")
    left = _rounds(run) - run.rounds_done
    if state == "running" and left and run.seconds_a_round is not None:
        words.append(f"about {duration(left * run.seconds_a_round)} left for the cells that began")
    if state == "stopped":
        words.append(f"go on with: consilium resume {files.path}")
    if state == "running" and run.newest is not None:
        quiet = (datetime.now(UTC) - run.newest).total_seconds()
        words.append(f"last event {duration(quiet)} ago")
    return " · ".join([f"[bold]{files.path.name}[/] {state}", *words])


def _cells(run: Followed) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for (method, seed), cell in run.cells.items():
        bar = ProgressBar(total=cell.rounds, completed=cell.done, width=WIDTH)
        table.add_row(f"{method}, seed {seed}", bar, f"{cell.done} of {cell.rounds} rounds")
    return table


def _sites(title: str, cell: Progress) -> "RenderableType":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.title, table.title_justify = f"\n{title}", "left"
    for header in ("site", "validation AUC by round", "newest", "highest", ""):
        table.add_column(header)
    worst = sorted(cell.auc, key=lambda site: _known(cell.auc[site])[-1:] or [2.0])[:SHOWN_SITES]
    for site in (site for site in cell.auc if site in worst):
        known = _known(cell.auc[site])
        numbers = [f"{known[-1]:.3f}", f"{max(known):.3f}"] if known else ["–", "–"]
        now = "in this round" if site in cell.busy else ""
        table.add_row(site, sparkline(cell.auc[site]), *numbers, now)
    hidden = len(cell.auc) - len(worst)
    if hidden:
        table.caption = f"{hidden} more sites with higher AUC"
    return table


def _known(numbers: Iterable[float | None]) -> list[float]:
    return [number for number in numbers if number is not None]


def sparkline(numbers: list[float | None]) -> str:
    """Return AUCs as bars, 0.5 and below the lowest and 1 the highest; a dot where undefined.

    Of more than ``WIDTH`` numbers, each bar is the last of as many as it stands for.
    """
    stride = -(-len(numbers) // WIDTH) or 1
    last = numbers[::-1][::stride][::-1]
    return "".join("·" if n is None else BARS[_level(n)] for n in last)


def _level(auc: float) -> int:
    return min(len(BARS) - 1, max(0, int((auc - 0.5) * 2 * len(BARS))))
