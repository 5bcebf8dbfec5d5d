"""``consilium sweep``: a grid of settings, run cell by cell, and its tables."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.commands.ending import Unheard, complain, status_of
from federated.errors import UserError

if TYPE_CHECKING:
    from federated.sweeps.plan import Sweep


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    sweep = commands.add_parser(
        "sweep",
        help="run a grid over methods, seeds and any settings; write one table of it",
        epilog="examples: consilium sweep configs/ablations/memory-size.toml --dry-run · consilium "
        "sweep configs/paper-table.toml data.covid-ct=PATH data.sars-cov-2=PATH",
    )
    sweep.add_argument("file", type=Path, help="a .toml file of settings with a [grid] of lists")
    sweep.add_argument("settings", nargs="*", metavar="key=value", help="overrides")
    sweep.add_argument("--to", type=Path, help="folder of the runs (runs/NAME-sweep)")
    sweep.add_argument("--retries", type=int, default=1, help="times to retry what stopped (1)")
    sweep.add_argument(
        "--dry-run", action="store_true", help="say what would run and how long, and run nothing"
    )
    style = sweep.add_mutually_exclusive_group()
    style.add_argument("--quiet", action="store_const", dest="style", const="quiet")
    style.add_argument("--json", action="store_const", dest="style", const="json")
    sweep.set_defaults(call=_sweep, style="auto")


def _sweep(arguments: argparse.Namespace) -> None:
    from federated.config.given import parse_overrides
    from federated.sweeps.plan import read_sweep

    sweep = read_sweep(arguments.file, parse_overrides(arguments.settings))
    folder = arguments.to or Path("runs") / f"{sweep.name}-sweep"
    if arguments.retries < 0:
        raise UserError(f"--retries {arguments.retries}: 0 or more is needed.")
    if arguments.dry_run:
        print(_forecast(sweep, folder))
        return
    results = Path(sweep.results) if sweep.results else folder / "results"
    try:
        _run(sweep, folder, results, arguments)
    except KeyboardInterrupt as stop:
        complain(f"stopped; the same command goes on with what is in {folder}.")
        raise SystemExit(status_of(stop)) from None


def _run(sweep: "Sweep", folder: Path, results: Path, arguments: argparse.Namespace) -> None:
    from contextlib import contextmanager

    from federated.commands.progress import progress, stoppable
    from federated.sweeps.running import SweepRun
    from federated.sweeps.tables import page_of, write_tables

    @contextmanager
    def watch(study: Any, sites: tuple[str, ...]) -> Any:
        with progress(study, sites, style=arguments.style) as shown, stoppable(shown) as listener:
            yield listener

    def say(line: str) -> None:
        if arguments.style == "auto":
            print(line, file=Unheard(sys.stderr), flush=True)

    going = SweepRun(sweep, folder, results, watch, say, arguments.retries)
    stopped = going.run()
    if any(results.glob("*/*/cell.toml")):
        paths = [*going.write_table(), *write_tables(results)]
        print(f"{page_of(results)}\ntables: {', '.join(map(str, paths))}")
    if stopped:
        names = ", ".join(f"{run}: {method} seed {seed}" for run, (method, seed) in stopped)
        reason = next(iter(stopped.values()))
        raise UserError(f"{len(stopped)} cells did not end ({names}). The first reason: {reason}")


def _forecast(sweep: "Sweep", folder: Path) -> str:
    """Return which cells there are, which have ended, and how long the runs would take."""
    from federated.commands.forecast import forecast
    from federated.data import prepare
    from federated.engine import check
    from federated.sweeps.running import cells_left

    texts = []
    for planned in sweep.runs:
        study = planned.study
        check(study)
        left, every = cells_left(planned, folder), study.cells()
        head = f"{planned.name}: {len(every)} cells, {len(every) - len(left)} of them have ended"
        texts.append(f"{head}\n\n{forecast(study, prepare(study.common))}")
    total = sum(len(planned.study.cells()) for planned in sweep.runs)
    return "\n\n".join([f"{len(sweep.runs)} runs, {total} cells in all.", *texts])
