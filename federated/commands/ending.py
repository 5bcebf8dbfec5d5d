"""How a command ends when it is stopped, when a disk is full, and when nobody reads its output."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

BROKEN_PIPE = 128 + signal.SIGPIPE
SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Of a batch system and of a terminal that is closed: they end a command as Ctrl-C does."""


class Stopped(KeyboardInterrupt):
    """The process was told to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def status_of(stop: KeyboardInterrupt) -> int:
    """Return the exit status of a program that a signal ended."""
    return 128 + int(getattr(stop, "number", signal.SIGINT))


@contextmanager
def stopping() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise ``Stopped``, unless they are ignored, as ``nohup`` has it."""

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Output:
    """The standard output, whose failures say that it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text and return how many letters that were."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self.fail(error)
            return len(text)

    def flush(self) -> None:
        """Write out what was printed."""
        try:
            self._stream.flush()
        except OSError as error:
            self.fail(error)

    def fail(self, error: OSError) -> None:
        """Raise with the stream's name in the place of a file's."""
        silence(self._stream)
        error.filename = "standard output"
        raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Unheard(Output):
    """A text stream that goes on in silence when nobody reads it any more."""

    def fail(self, error: OSError) -> None:
        """Be silent from now on."""
        silence(self._stream)


def silence(stream: TextIO) -> None:
    """Send what is still written to ``stream``, Python's last flush included, to nobody."""
    with open(os.devnull, "wb") as nobody:  # noqa: PTH123
        os.dup2(nobody.fileno(), stream.fileno())


def complain(sentence: str) -> None:
    """Print a sentence on standard error, if anyone reads it."""
    print(f"consilium: {sentence}", file=Unheard(sys.stderr), flush=True)


def open_streams() -> None:
    """Replace output streams that were closed before the command began."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


def in_folder(error: OSError, folder: Path) -> OSError:
    """Return an error that says where: unlike an open, a write that fails does not."""
    if error.filename is None:
        error.filename = str(folder)
    return error


def sentence_of(error: OSError) -> str:
    """Return what went wrong with which file."""
    where = "a file that the command writes" if error.filename is None else str(error.filename)
    return f"{where}: {error.strerror or error}; nothing that was written before is lost."
