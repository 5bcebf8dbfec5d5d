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
    changes_bits: bool = True,
) -> Any:
    """Return a dataclass field that knows its meaning and what values it takes.

    Args:
        default: Its value where nobody sets it.
        meaning: One line for docs/CONFIG.md and ``consilium config``.
        low: Least value.
        high: Greatest value.
        choices: All values, if they are few.
        changes_bits: Whether another value may change a bit of the results. Only what may not is
            free to differ when a run is resumed or reused.
    """
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "low": low,
            "high": high,
            "choices": choices,
            "changes_bits": changes_bits,
        },
    )
