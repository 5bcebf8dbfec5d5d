"""The command: parse, call, print. Heavy packages are imported only by the call that needs them."""

import argparse
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO, cast

from federated import __version__
from federated.commands import (
    answers,
    auditing,
    beginning,
    catalogue,
    comparing,
    data,
    deploying,
    explaining,
    folders,
    ledger,
    machine,
    node,
    policy,
    questions,
    running,
    statistics,
    sweep,
    unseen,
)
from federated.commands.ending import (
    BROKEN_PIPE,
    Output,
    complain,
    open_streams,
    sentence_of,
    status_of,
    stopping,
)
from federated.commands.parsing import Parser, parsed
from federated.commands.reporting import write_reports
from federated.errors import UserError

# Neither a simulation nor its sites talk to anyone: Flower's telemetry and update check stay off.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")


def main(words: list[str] | None = None) -> int:
    """Run the command ``consilium`` and return its exit status."""
    open_streams()
    try:
        arguments = _arguments(words)
        with stopping(), redirect_stdout(cast(TextIO, Output(sys.stdout))):
            status = int(arguments.call(arguments) or 0)
            sys.stdout.flush()
    except UserError as error:
        complain(str(error))
        status = 2
    except KeyboardInterrupt as stop:
        complain("stopped.")
        status = status_of(stop)
    except BrokenPipeError:
        status = BROKEN_PIPE  # whoever reads, such as head, has had enough
    except OSError as error:
        complain(sentence_of(error))
        status = 2
    if words is None and (start := sys.modules.get("federated.engine.ray.start")):
        start.leave(status)  # at once, should Ray still be starting: there is no use in waiting
    return status


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser, commands = _parser()
    return parsed(parser, commands.choices, sys.argv[1:] if words is None else words)


def _parser() -> tuple[Parser, Any]:
    """Return the command's parser, and what its commands were added to."""
    parser = Parser(
        prog="consilium",
        description="Simulate hospitals that learn together.",
        epilog="A setting is written key=value or --key value. Start with: consilium doctor, then "
        "consilium run configs/demo.toml",
    )
    parser.add_argument("--version", action="version", version=f"consilium {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    running.add(commands)
    report = commands.add_parser(
        "report",
        help="one file with every answer and figure of a run, or of several side by side",
        epilog="examples: consilium report runs/demo · consilium report runs/a runs/b --to ab.html",
    )
    report.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="folders of runs")
    report.add_argument(
        "--to",
        type=Path,
        metavar="FILE.html",
        help="where the page of several runs goes (side-by-side.html in the first one's folder)",
    )
    report.add_argument(
        "--patients",
        action="store_true",
        help="put images of patients and maps of their embeddings into the page, as those of "
        "synthetic hospitals are; it is then as private as the images",
    )
    report.set_defaults(call=lambda a: write_reports(a.folders, a.to, patients=a.patients))

    data.add(commands)
    statistics.add(commands)
    policy.add(commands)
    ledger.add(commands)
    answers.add(commands)
    comparing.add(commands)
    unseen.add(commands)
    explaining.add(commands)
    auditing.add(commands)
    questions.add(commands)
    sweep.add(commands)
    machine.add(commands)
    deploying.add(commands)
    node.add(commands)
    folders.add(commands)
    beginning.add(commands)
    catalogue.add(commands, parser)
    return parser, commands


if __name__ == "__main__":
    sys.exit(main())
