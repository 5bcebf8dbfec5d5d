"""``consilium benefit``, ``waiting``, ``cost``, ``joining`` and ``disturbances``, of one run."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.answers import MEANINGS

if TYPE_CHECKING:
    from federated.answers.answer import Answer
    from federated.runs.reading import Run


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
                "has alone in the end)",
            )


def _tell(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.answers import answer_named
        from federated.answers.benefit import with_target
        from federated.plots.terminal import printed, wrapped
        from federated.runs.reading import load
    run, target = load(arguments.folder), arguments.target
    answer = answer_named(arguments.answer) if target is None else with_target(target)
    answer.check(run)
    if not run.has_ended:
        print(f"{run.folder} has not ended; this is how far it came.", file=sys.stderr)
    tables = [(table, table.rows(run)) for table in answer.tables]
    if all(text.empty for _, text in tables):
        print(f"{run.folder}: {answer.nothing}")
        return
    for table, text in tables:
        print("\n".join([table.title, "", printed(text), "", *wrapped(table.note), ""]))
    _write(run, answer)


def _write(run: "Run", answer: "Answer") -> None:
    """Write the numbers and the figures of an answer, and say where."""
    from federated.answers.answer import stem_of
    from federated.plots.numbers import NothingToDrawError

    print(f"table:   {answer.write_numbers(run)}")
    for figure in answer.figures:
        if figure.is_of_rollout and run.timeline.empty:
            continue
        try:
            paths = answer.write_figure(run, figure)
        except NothingToDrawError as error:
            print(f"no picture {stem_of(figure)}: {error}")
            continue
        print(f"picture: {', '.join(map(str, paths))}")
