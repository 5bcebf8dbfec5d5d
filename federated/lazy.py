"""What makes a start quick: imports without the collector, and pandas only where it is needed.

Nothing here imports torch, Ray, Flower or pandas itself.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
else:

    class _Pandas:
        """pandas, imported when it is first used: a hospital that trains reads no table.

        It costs a fifth of a second of processor time, in each of all processes. Modules that use
        ``pd`` from here put ``from __future__ import annotations`` first, so that their
        signatures do not use it.
        """

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("pandas"), name)

    pd = _Pandas()

__all__ = ["pd", "without_collector"]


@contextmanager
def without_collector() -> Iterator[None]:
    """Import at half the processor time: with Python's garbage collector off.

    Imports make a million objects that live as long as the process. The collector would walk over
    them again and again while they are made, and once more at exit; so it does not see them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
