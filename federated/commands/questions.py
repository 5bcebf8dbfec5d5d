"""``consilium contribution``, ``order``, ``unseen`` and ``what-if``, which take several runs."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from federated.questions import MEANINGS

Options = Callable[[argparse.Namespace], Mapping[str, Any]]
"""What a question takes beside the configuration and the folder."""


def add(commands: Any) -> None:
    """Add a command for each question to the command's subparsers."""
    for name, meaning in MEANINGS.items():
        parser = commands.add_parser(name, help=meaning, description=meaning)
        parser.add_argument("config", type=Path, nargs="?", help="a .toml file; none: all defaults")
        parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides")
        parser.add_argument(
            "--to", type=Path, help=f"folder of the runs and the answer (runs/NAME-{name})"
        )
        parser.set_defaults(call=_ask, question=name, options=_OPTIONS[name](parser))


def _contribution(parser: argparse.ArgumentParser) -> Options:
    parser.add_argument(
        "--of", dest="left_out", default="", help="hospitals to leave out in turn (all)"
    )
    parser.add_argument(
        "--shapley",
        type=int,
        default=0,
        metavar="ORDERS",
        help="Shapley values too; up to four hospitals every order, else so many drawn ones",
    )
    return lambda arguments: {"left_out": arguments.left_out, "orders": arguments.shapley}


def _order(parser: argparse.ArgumentParser) -> Options:
    parser.add_argument("--tries", type=int, default=24, help="orders to try at most (24)")
    return lambda arguments: {"tries": arguments.tries}


def _unseen(parser: argparse.ArgumentParser) -> Options:
    parser.add_argument(
        "--of", dest="left_out", default="", help="hospitals to leave out in turn (all)"
    )
    parser.add_argument(
        "--labelled",
        type=int,
        default=20,
        metavar="K",
        help="labelled images of its own to fine-tune on (20); 0: none",
    )
    return lambda arguments: {"left_out": arguments.left_out, "labelled": arguments.labelled}


def _what_if(parser: argparse.ArgumentParser) -> Options:
    parser.add_argument(
        "--if",
        dest="alternatives",
        nargs="+",
        action="append",
        required=True,
        metavar="key=value",
        help="an alternative: settings up to the next option, hospital.NAME.KEY for those of one "
        "hospital; may be given several times",
    )
    return lambda arguments: {"texts": [" ".join(words) for words in arguments.alternatives]}


_OPTIONS = {"contribution": _contribution, "order": _order, "unseen": _unseen, "what-if": _what_if}


def _ask(arguments: argparse.Namespace) -> None:
    from federated.config.given import read_given, with_scenario
    from federated.config.study import parse
    from federated.plots.terminal import printed, wrapped
    from federated.questions import question_named
    from federated.questions.trials import ready

    given = with_scenario({**read_given(arguments.config, arguments.settings), "folder": ""})
    name = arguments.question
    folder = arguments.to or Path("runs") / f"{parse(given).common.name}-{name}"
    ready(given)
    finding = question_named(name)(given, folder, **arguments.options(arguments))
    table, pictures = finding.write(folder / name)
    print("\n".join([*wrapped(finding.words), "", printed(finding.text), ""]))
    print(f"table:   {table}\npicture: {', '.join(map(str, pictures))}")
