"""``consilium benefit``, ``waiting``, ``cost``, ``joining`` and ``disturbances``, of one run.

Outside ``federated.rollout``, whose imports take seconds, so that ``--help`` answers at once.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.answers.rollout_tables_and_figures import Answer
    from federated.runs.reading import Run

MEANINGS = {
    "benefit": "when each hospital of a rollout reached its target AUC, and how much sooner than "
    "alone",
    "waiting": "hours that each hospital computed, transferred, waited, and held everyone up",
    "cost": "megabytes, hours, money and energy of each hospital against the AUC that it gained",
    "joining": "what each newcomer gained, and how the others moved when it came",
    "disturbances": "AUC before and after each outage, garbage, new scanner and departure",
}
"""Name of an answer -> what it tells."""

FORMATS = ("png", "pdf")


def add(commands: Any) -> None:
    """Add a command for each answer to the command's subparsers."""
    for name, meaning in MEANINGS.items():
        parser = commands.add_parser(name, help=meaning, description=f"Tell {meaning}.")
        parser.add_argument("folder", type=Path, help="the folder of a run, ended or not")
        parser.set_defaults(call=_tell, answer=name, target=None)
        if name == "benefit":
            parser.add_argument(
                "--target",
                type=float,
                metavar="AUC",
                help="what all hospitals should reach (that of the scenario, else what each "
                "reached alone)",
            )


def _tell(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.answers.rollout_tables_and_figures import answers
        from federated.plots.rollout_axis import needs_timeline
        from federated.report.tables import printed
        from federated.runs.reading import load
    run, name, target = load(arguments.folder), arguments.answer, arguments.target
    needs_timeline(run)
    if target is not None and not 0 < target <= 1:
        raise UserError(f"--target {target:g} is no AUC; give one above 0 and at most 1.")
    if name == "benefit" and target is None:
        _check_target(run)
    answer = answers(target)[name]
    if "kind" not in run.events or "run-ended" not in set(run.events["kind"]):
        print(f"{run.folder} has not ended; this is how far it came.", file=sys.stderr)
    tables = [(table, table.of(run)) for table in answer.tables]
    if all(text.empty for _, text in tables):
        print(f"{run.folder}: {answer.nothing}")
        return
    for table, text in tables:
        print(f"{table.title}\n\n{printed(text)}\n\n{table.note}\n")
    _write(run, name, answer)


def _check_target(run: "Run") -> None:
    """Raise if no hospital has a target, since none is stated and none was alone."""
    from federated.runs.history import ALONE

    common = run.study.common
    stated = [calendar.target_auc for _, calendar in common.calendars]
    if ALONE not in common.methods and not any([common.rollout.target_auc, *stated]):
        raise UserError(
            f"{run.folder} has no target: its methods have no local to compare with, and its "
            "scenario states none; give one with --target AUC."
        )


def _write(run: "Run", name: str, answer: "Answer") -> None:
    """Write the numbers and the figures of an answer, and say where."""
    from federated.plots.numbers import NothingToDrawError
    from federated.plots.style import save

    folder = run.folder / "answers"
    folder.mkdir(exist_ok=True)
    table = folder / f"{name}.csv"
    answer.numbers(run).to_csv(table, index=False)
    print(f"table:   {table}")
    for figure, draw in answer.figures.items():
        stem = figure.removeprefix("rollout-")
        try:
            paths = save(draw(run), folder / stem, FORMATS)
        except NothingToDrawError as error:
            print(f"no picture {stem}: {error}")
            continue
        print(f"picture: {', '.join(map(str, paths))}")
