"""Importing torch and its like at half the processor time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Import with Python's garbage collector off, and hide from it what was imported.

    Imports make a million objects that live as long as the process. The collector would walk over
    them again and again while they are made, and once more at exit.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
