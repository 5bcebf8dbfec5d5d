"""pandas, imported when it is first used: a hospital that trains reads no table.

Importing it takes a fifth of a second of processor time, in each of all processes. Modules
that use ``pd`` from here put ``from __future__ import annotations`` first, so that their
signatures do not use it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
else:

    class _Pandas:
        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("pandas"), name)

    pd = _Pandas()

__all__ = ["pd"]
