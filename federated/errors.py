"""The one exception that reaches a user as a sentence instead of a traceback."""

import difflib
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST_LETTERS = 60
"""Of what a user wrote, in a sentence about it."""

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = MOST_LETTERS
_brief.maxlevel, _brief.maxlist, _brief.maxtuple = 3, 6, 6


class UserError(Exception):
    """A mistake of the user's, told in one sentence: what is wrong, where, and what to do."""


def shown(value: Any) -> str:
    """Return a value as a sentence can quote it: on one line, and shortened."""
    try:
        return _brief.repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


def shown_path(path: Any) -> str:
    """Return a path whole, quoted only if it would not stand on one line otherwise."""
    return str(path) if str(path).isprintable() else repr(str(path))


def absolute_path(text: str, setting: str) -> Path:
    """Return the place that a setting names as an absolute path, ``~`` and ``~user`` resolved.

    Raises:
        UserError: there is no such home folder.
    """
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise UserError(
            f"{setting} = {shown(text)}: there is no such home folder; write the whole path."
        ) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(word[:MOST_LETTERS], list(known), n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else ""
