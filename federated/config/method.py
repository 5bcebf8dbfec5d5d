"""What a method is: the settings in which it differs from the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Value = bool | int | float | str


@dataclass(frozen=True)
class Method:
    """One method: the settings that make it, what it is, and where it comes from.

    Attributes:
        settings: Dotted key to value, such as ``{"sharing.policy": "conv"}``.
        summary: One line for ``consilium methods``.
        source: Paper, or whose idea.
    """

    settings: Mapping[str, Value]
    summary: str = ""
    source: str = ""


def entry(summary: str, source: str, **settings: Value) -> Method:
    """Return a method; in the names of settings ``__`` stands for a dot, ``_`` for a hyphen."""
    keys = {key.replace("__", ".").replace("_", "-"): value for key, value in settings.items()}
    return Method(MappingProxyType(keys), summary, source)
