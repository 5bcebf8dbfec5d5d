"""How a setting is declared: a dataclass field that knows its meaning and what values it takes."""

from dataclasses import field
from typing import Any


def setting(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that knows its meaning and what values it takes."""
    return field(
        default=default,
        metadata={"meaning": meaning, "low": low, "high": high, "choices": choices},
    )
