"""``consilium new``: a configuration file, by flags or by a few questions."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from federated.errors import UserError, shown

QUESTIONS = {
    "name": "name of the run",
    "methods": "methods, comma-separated (consilium methods lists them)",
    "rounds": "rounds",
    "seeds": "seeds, comma-separated",
    "data.folder": "folder of your images, a folder a class or a hospital; empty: synthetic ones",
    "data.image-size": "side of the network's input in pixels",
}
"""What is asked, in this order; the answer may be any value of that setting."""

DEFAULTS = {
    "name": "my-federation",
    "methods": "local,fedavg,fedbn,consilium",
    "rounds": "20",
    "seeds": "0,1,2",
    "data.folder": "",
    "data.image-size": "64",
}
PINNED = {"train.precision": "fp32"}
"""So that the numbers are the same on processors with and without bfloat16."""


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    new = commands.add_parser(
        "new",
        help="write a configuration file, by a few questions or by settings",
        epilog="examples: consilium new my.toml · consilium new my.toml rounds=30 "
        "methods=local,consilium data.folder=PATH",
    )
    new.add_argument("file", type=Path, help="the .toml file to write")
    new.add_argument("settings", nargs="*", metavar="key=value", help="asked for if none is given")
    new.set_defaults(call=_new)


def _new(arguments: argparse.Namespace) -> None:
    from federated.config.given import parse_overrides
    from federated.config.study import parse

    path = arguments.file
    if path.suffix != ".toml":
        raise UserError(f"{path}: a configuration ends in .toml; name it so.")
    if path.exists():
        raise UserError(f"{path} is there already; name another file, or remove it.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent} to write to; make it first.")
    answers = parse_overrides(arguments.settings)
    if not answers and sys.stdin.isatty():
        answers = _asked()
    given = {**DEFAULTS, **PINNED, **answers}
    given = {key: value for key, value in given.items() if value != ""}
    parse(given)  # a mistake is told before anything is written
    path.write_text(_text(given), encoding="utf-8")
    print(f"{path} was written. Look at what it would do, then run it:")
    print(f"  consilium run {path} --dry-run\n  consilium run {path}")


def _asked() -> dict[str, Any]:
    """Return the answers of whoever sits at the terminal, each checked as it is given."""
    from federated.config.keys import checked, find_key

    answers: dict[str, Any] = {}
    print("Enter keeps what is in brackets.")
    for key, question in QUESTIONS.items():
        while True:
            text = input(f"{question} [{DEFAULTS[key]}]: ").strip()
            try:
                checked(find_key(key), text or DEFAULTS[key])
            except UserError as error:
                print(f"  {error}")
                continue
            if text:
                answers[key] = text
            break
    return answers


def _text(given: dict[str, Any]) -> str:
    """Return the settings as TOML, each under the sentence that says what it is."""
    from federated.config.keys import KEYS, checked

    lines = ["# Every other setting has its default; consilium config lists them all."]
    for key, value in given.items():
        if key not in KEYS:
            raise UserError(f"{shown(key)}: write tables such as this into the file by hand.")
        meaning = f"{KEYS[key].meaning}{KEYS[key].range_text()}"
        lines += ["", f"# {meaning}", _line(key, checked(KEYS[key], value))]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any) -> str:
    """Return ``key = value``; dotted keys are TOML's own way to name a table's entry."""
    # JSON's text, numbers, truths and lists are TOML's, too.
    return f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}"
