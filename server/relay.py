"""Events of many threads, heard in the one that runs the run.

A listener draws on a terminal and catches signals, which only that thread may.
"""

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from server.record import Listener

Work = Callable[[], None]


class HaltedError(Exception):
    """The run ends, and with it the cell's thread."""


class Relay:
    """Has things done at home: in the thread in which it was made.

    Attributes:
        halted: Whether the run ends, so that no other thread goes on.
    """

    def __init__(self) -> None:
        self.halted = False
        self._home = threading.get_ident()
        self._calls: SimpleQueue[Work] = SimpleQueue()

    def to(self, listener: Listener | None) -> Listener | None:
        """Return a listener for any thread, which has this one called at home."""
        if listener is None:
            return None

        def listen(event: Mapping[str, Any]) -> None:
            self.call(lambda: listener(event))

        return listen

    def call(self, work: Work) -> None:
        """Have something done at home: now if this is home, else soon.

        Raises:
            HaltedError: the run ends.
        """
        if threading.get_ident() == self._home:
            work()
        elif self.halted:
            raise HaltedError
        else:
            self._calls.put(work)

    def serve(self) -> None:
        """Wait for the next call from elsewhere, and answer it."""
        self._calls.get()()
