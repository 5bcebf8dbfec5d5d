"""Workers forked from one process that has imported torch, so that it is imported once for all.

Each worker that Ray starts would import torch, Flower and the client anew: two seconds of a
processor that no site gains anything from. So a cluster of our own has one process more, the seed.
It imports what a worker needs, and then only forks. ``tied.py``, which the raylet starts as a
worker, hands its arguments, environment and open files to the seed; the fork does the work, and
``tied.py`` ends with it. Ray itself is imported in the fork: it reads its settings from the
environment once, as it is imported. Where there is no seed (on another system than Linux, or in
somebody else's cluster) workers start as Ray means them to.

    python forks.py DESCRIPTOR MODULE...
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from federated.engine.ray import tied
from federated.lazy import without_collector

PARENT = "CONSILIUM_PARENT"
"""Variable of the environment with the process that the seed ends with."""
TEXT_BYTES = 2**20
"""Bytes that are read at once of a worker's arguments and environment."""


@contextmanager
def sown(folder: Path, modules: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes] | None]:
    """Have the workers of a raylet that is started meanwhile be forked; yield the seed.

    It ends with this thread, as Ray's own processes do, and at once if the raylet does not start.
    Whoever ends the cluster before that ends it, too.

    Args:
        folder: A private folder, for the seed's socket.
        modules: What the seed imports.
    """
    if not sys.platform.startswith("linux"):
        yield None
        return
    place = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        seed = subprocess.Popen(
            [sys.executable, __file__, str(listening.fileno()), *modules],
            env={**os.environ, PARENT: str(os.getpid())},
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the driver, which ends the workers in order
        )
    os.environ[tied.SEED] = place
    try:
        yield seed
    except BaseException:
        end(seed)
        raise
    finally:
        del os.environ[tied.SEED]


def end(seed: subprocess.Popen[bytes] | None) -> None:
    """End a seed, and with it what was forked from it."""
    if seed is not None:
        seed.kill()
        seed.wait()


def sprout(listening: socket.socket) -> list[str]:
    """Fork for each connection until this process is killed; return, in a fork, its arguments."""
    seed = os.getpid()
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        connection, _ = listening.accept()
        try:
            text, files = _received(connection)
        except OSError:  # who asked has gone
            connection.close()
            continue
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listening.close()
            tied.end_with(seed)
            connection.detach()  # stays open for as long as this process lives
            return _dressed(text, files)
        for file in (*files, connection.detach()):
            os.close(file)


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return the text that ``tied.hand_over`` sent, and its three open files."""
    text, files, _, _ = socket.recv_fds(connection, TEXT_BYTES, 3)
    while part := connection.recv(TEXT_BYTES):
        text += part
    connection.send(b"+")
    return text, list(files)


def _dressed(text: bytes, files: list[int]) -> list[str]:
    """Take on the open files and the environment of what the raylet started."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    worker = json.loads(text)
    os.environ.clear()
    os.environ.update(worker["environment"])
    return list(worker["arguments"])


def _reap(number: int, frame: object) -> None:
    """Take leave of workers that have ended, for their processor time to count as ours."""
    while True:
        try:
            process, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return


if __name__ == "__main__":
    tied.end_with(int(os.environ.pop(PARENT)))
    with without_collector():
        for module in sys.argv[2:]:
            import_module(module)
    tied.run(sprout(socket.socket(fileno=int(sys.argv[1]))))
