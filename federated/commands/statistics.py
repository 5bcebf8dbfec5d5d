"""``consilium statistics``: what hospitals tell of their data before anything is trained."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from federated.errors import UserError

MEANING = (
    "ask every hospital of its data before anything is trained: counts, prevalence, image sizes, "
    "greys, unknown patients; small counts are withheld"
)


def add(commands: Any) -> None:
    """Add ``statistics`` to the command's subparsers."""
    parser = commands.add_parser(
        "statistics",
        help=MEANING,
        description=MEANING,
        epilog="examples: consilium statistics configs/demo.toml · consilium statistics "
        "data.folder=PATH statistics.epsilon=1 --to runs/statistics",
    )
    parser.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="new; keeps answers and picture")
    parser.add_argument("--json", action="store_true", help="the answers as JSON, nothing else")
    parser.set_defaults(call=_ask)


def _ask(arguments: argparse.Namespace) -> None:
    from federated.commands.data import given_of
    from federated.commands.progress import preparing
    from federated.config.study import parse
    from federated.data import prepare
    from federated.engine import carry_out, check
    from federated.plots.of_data import figure
    from federated.plots.style import save
    from federated.plots.terminal import printed, wrapped
    from federated.runs.folder import RunFolder
    from federated.statistics.of_data import read, table

    if arguments.to and arguments.to.exists():
        raise UserError(f"--to {arguments.to}: it is there already; name a new folder.")
    with ExitStack() as stack:
        place = arguments.to or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        given = {**given_of(arguments.settings), "statistics.ask": "only", "folder": str(place)}
        study = parse(given)
        check(study)
        with preparing(style="quiet" if arguments.json else "auto") as report:
            summaries = prepare(study.common, report)
        carry_out(given)
        asked = study.common.statistics
        told = read(RunFolder(place).data_statistics, asked.minimum)
        if arguments.json:
            answers = told.numbers.astype(object).where(told.numbers.notna(), None)
            print(json.dumps(answers.to_dict("index"), indent=2))
            return
        classes = summaries[0].classes
        print(printed(table(told, classes).fillna("")))
        print("", *wrapped(sentence(asked.minimum, asked.epsilon)), sep="\n")
        if told.silent:
            print(f"Told nothing, with fewer images: {', '.join(told.silent)}.")
        if arguments.to:
            for path in save(figure(told, classes), place / "data_statistics"):
                print(f"picture: {path}", file=sys.stderr)


def sentence(minimum: int, epsilon: float) -> str:
    """Return what stands between the numbers and the images."""
    withheld = (
        f"Counts of 1 to {minimum - 1} images are withheld, and others from which they would "
        "follow. Prevalence: images that are not of the first class, with Wilson's 95 % interval."
        if minimum > 1
        else "No count is withheld. Prevalence: images that are not of the first class, with "
        "Wilson's 95 % interval."
    )
    noise = (
        f" Each answer has noise that hides one image more or less: epsilon = {epsilon:g}."
        if epsilon
        else " No noise was added: several answers about overlapping data can be compared."
    )
    return withheld + noise
