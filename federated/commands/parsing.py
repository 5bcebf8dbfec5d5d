"""Words of the command line: flags for settings, and one sentence for a word that is none.

A setting may be written ``rounds=5``, ``--rounds 5`` or ``--rounds=5``.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from federated.commands.ending import complain
from federated.errors import UserError, did_you_mean, shown


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence; its subparsers are such parsers, too."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the words, and where help is; exit with status 2."""
        complain(f"{message}; see {self.prog} --help.")
        sys.exit(2)


def parsed(parser: Parser, commands: Mapping[str, Any], words: list[str]) -> argparse.Namespace:
    """Return the parsed command; settings may stand after options, too.

    Args:
        parser: The whole command's.
        commands: Its subparsers by name.
        words: What the user wrote after ``consilium``.

    Raises:
        UserError: there is no such command, option or setting.
    """
    if words and not words[0].startswith("-") and words[0] not in commands:
        hint = did_you_mean(words[0], commands)
        raise UserError(
            f"there is no command {shown(words[0])}{hint}; consilium --help lists them."
        )
    name, command = _command_of(words, commands)
    takes_settings = command is not None and _takes_settings(command)
    if command is not None and takes_settings:
        words = list(_with_settings(words, command))
    arguments, rest = parser.parse_known_args(words)
    unknown = [word for word in rest if "=" not in word or word.startswith("-")]
    if command is not None and (unknown or (rest and not takes_settings)):
        wrong = (unknown or rest)[0]
        hint = did_you_mean(wrong, _options(command)) if wrong[0] == "-" else ""
        raise UserError(
            f"consilium {name} takes no {shown(wrong)}{hint}; see consilium {name} --help."
        )
    if rest:
        arguments.settings = [*arguments.settings, *rest]
    return arguments


def _command_of(
    words: list[str], commands: Mapping[str, Any]
) -> tuple[str, argparse.ArgumentParser | None]:
    """Return the command that the words begin with, and its parser: that of a verb, if it has some.

    ``data check`` is one, with the verb ``check``.
    """
    if not words or words[0] not in commands:
        return "", None
    command: argparse.ArgumentParser = commands[words[0]]
    for action in command._actions:
        if (
            isinstance(action, argparse._SubParsersAction)
            and words[1:2]
            and words[1] in action.choices
        ):
            return " ".join(words[:2]), action.choices[words[1]]
    return words[0], command


def _takes_settings(command: argparse.ArgumentParser) -> bool:
    return any(action.dest == "settings" for action in command._actions)


def _options(command: argparse.ArgumentParser) -> set[str]:
    return {option for action in command._actions for option in action.option_strings}


def _with_settings(words: list[str], command: argparse.ArgumentParser) -> Iterable[str]:
    """Yield the words with ``--key value`` and ``--key=value`` of settings as ``key=value``.

    Raises:
        UserError: a setting's flag has no value, or a flag is neither an option nor a setting.
    """
    options, rest = _options(command), iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if not word.startswith("--") or word == "--" or flag in options:
            yield word
            continue
        name = _setting(flag, options)
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise UserError(f"{flag} needs a value, such as {name}=… or {flag} ….")
        yield f"{name}={value}"


def _setting(flag: str, options: set[str]) -> str:
    from federated.config.given import hyphenated
    from federated.config.keys import KEYS

    name = hyphenated(flag.removeprefix("--"))
    if name in KEYS or name.startswith(("method.", "rollout.")):
        return name
    known = [*options, *(f"--{key}" for key in KEYS)]
    raise UserError(
        f"there is no option {shown(flag)}{did_you_mean(flag, known)}; consilium config "
        "lists all settings, and --help the command's options."
    )
