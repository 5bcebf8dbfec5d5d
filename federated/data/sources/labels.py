"""What users call the classes, and how a setting gives names to things."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from federated.config.images import Data
from federated.errors import UserError

_LABELS = {
    **dict.fromkeys(("1", "1.0", "covid", "covid19", "positive", "pos", "true", "yes"), 1),
    **dict.fromkeys(
        ("0", "0.0", "noncovid", "noncovid19", "negative", "neg", "normal", "false", "no"), 0
    ),
}


CLASSES = ("non-COVID", "COVID")
"""What the classes 0 and 1 are called where a source names them so."""
UNNAMED = ("negative", "positive")
"""What they are called where a source says only which is which."""
_ONLY_WHICH = ("1", "1.0", "0", "0.0", "true", "false", "yes", "no", "pos", "neg")
MOST_NAMES = 3
"""Of one class that are told; a class may be several of the user's."""


class OwnClasses(dict[str, int]):
    """Names of the classes of ``data.classes``, beside which there are no usual ones."""


def class_names(named: Iterable[tuple[str, int]], given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what the classes are called, in a user's own words.

    Args:
        named: each word for a class, and which class it is; in any order, any number of times.
        given: the names in ``data.classes``, if there are any.
    """
    if given:
        return given
    words = sorted({(word.strip(), label) for word, label in named})
    return _name_of(0, words), _name_of(1, words)


def _name_of(label: int, words: Sequence[tuple[str, int]]) -> str:
    own = [word for word, which in words if which == label and word.lower() not in _ONLY_WHICH]
    more = ["…"] if len(own) > MOST_NAMES else []
    return " or ".join([*own[:MOST_NAMES], *more]) or UNNAMED[label]


def label_of(text: str, more: Mapping[str, int] = MappingProxyType({})) -> int | None:
    """Return 1 for the disease, 0 for not, None for neither; case, spaces, - and _ do not count.

    Args:
        text: a user's label.
        more: names beyond the usual ones, which they override.
    """
    named = {_plain(name): label for name, label in more.items()}
    usual = {} if isinstance(more, OwnClasses) else _LABELS
    return named.get(_plain(text), usual.get(_plain(text)))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]", "", text.lower())


def labels_of(data: Data) -> Mapping[str, int]:
    """Return the user's names of classes.

    Raises:
        UserError: one stands for no class.
    """
    named = pairs(data.labels, "data.labels")
    if data.classes:
        return _labels_of_own(data.classes, named)
    for name, value in named.items():
        if value not in ("0", "1"):
            raise UserError(
                f"data.labels has {name}={value}; write 1 for the class to be found, else 0"
            )
    return {name: int(value) for name, value in named.items()}


def _labels_of_own(classes: tuple[str, ...], named: Mapping[str, str]) -> OwnClasses:
    """Return the names in ``data.classes``, and those that ``data.labels`` gives one of them."""
    labels = OwnClasses(zip(classes, range(len(classes)), strict=True))
    for name, value in named.items():
        if value not in labels:
            raise UserError(
                f"data.labels has {name}={value}; with data.classes write one of "
                f"{', '.join(classes)} behind the ="
            )
        labels[name] = labels[value]
    return labels


def pairs(text: str, setting: str) -> Mapping[str, str]:
    """Return ``a=b,c=d`` as a mapping.

    Raises:
        UserError: it is written otherwise.
    """
    named: dict[str, str] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        name, equals, value = word.partition("=")
        if not equals or name.strip() in named:
            raise UserError(f"{setting} has '{word}'; write name=value, each name once")
        named[name.strip()] = value.strip()
    return named
