"""What users call the classes, and how a setting gives names to things."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from federated.config.schema import Data
from federated.errors import UserError

_LABELS = {
    **dict.fromkeys(("1", "1.0", "covid", "covid19", "positive", "pos", "true", "yes"), 1),
    **dict.fromkeys(
        ("0", "0.0", "noncovid", "noncovid19", "negative", "neg", "normal", "false", "no"), 0
    ),
}


def label_of(text: str, more: Mapping[str, int] = MappingProxyType({})) -> int | None:
    """Return 1 for COVID, 0 for not, None for neither; case, spaces, - and _ do not count.

    Args:
        text: a user's label.
        more: names beyond the usual ones, which they override.
    """
    named = {_plain(name): label for name, label in more.items()}
    return named.get(_plain(text), _LABELS.get(_plain(text)))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]", "", text.lower())


def labels_of(data: Data) -> Mapping[str, int]:
    """Return the user's names of classes.

    Raises:
        UserError: one stands for neither 0 nor 1.
    """
    named = pairs(data.labels, "data.labels")
    for name, value in named.items():
        if value not in ("0", "1"):
            raise UserError(f"data.labels has {name}={value}; write 1 for COVID and 0 for not")
    return {name: int(value) for name, value in named.items()}


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
