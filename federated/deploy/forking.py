"""A process for each message, forked from one that has imported what all of them need.

Run as a script, with a socket's descriptor, the node's process id, and folders to remove at the
end. It imports nothing of Consilium: what were loaded here would train in the place of the code
that the server sent.

What Flower, PyTorch and the readers of images take to import is most of what a small message costs
(docs/DEPLOY.md). They are imported once; each process that follows begins where this one is,
has a memory of its own, and ends with its message as Flower means it to.
"""

import gc
import json
import os
import shutil
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module

PRELOADED = (
    "flwr.supernode.cli.flwr_clientapp",
    "numpy.random",
    "torch",
    "safetensors.torch",
    "safetensors.numpy",
    "cryptography.hazmat.primitives.ciphers",
    "PIL.Image",
)
"""What a hospital's part imports that is not Consilium's own."""
LOOK_SECONDS = 1.0


def main() -> int:
    """Serve until the node has ended; in each process that is forked, be Flower's program."""
    own, node, *folders = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server = os.getpid()
    try:
        with socket.socket(fileno=int(own)) as listener:
            preload()
            words = next_words(listener, int(node))
    finally:
        if os.getpid() == server:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
    if words is not None:
        be_flowers(words)
    return 0


def be_flowers(words: list[str]) -> None:
    """Be Flower's program for one message, and end."""
    from flwr.supernode.cli.flwr_clientapp import flwr_clientapp

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["flwr-clientapp", *words]
    try:
        flwr_clientapp()
    except SystemExit as end:
        # Flower has ended all that it began; Python would take a thousand modules apart as well.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code or 0))


def preload() -> None:
    """Import, without the collector, which would walk over a million new objects again and again.

    They are frozen then, so that no collection writes to memory that forked processes share.
    """
    gc.disable()
    for name in PRELOADED:
        with suppress(ImportError):  # whoever needs it will say so
            import_module(name)
    gc.freeze()
    gc.enable()


def next_words(listener: socket.socket, node: int) -> list[str] | None:
    """Return the words of a message's command, in the process forked for it; None at the end."""
    listener.settimeout(LOOK_SECONDS)
    while os.getppid() == node:
        reap()
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            words = received(connection)
            if words and os.fork() == 0:
                return words
            if words:
                with suppress(OSError):
                    connection.sendall(b"+")
    return None


def received(connection: socket.socket) -> list[str]:
    """Return what was handed over; nothing if it broke off."""
    connection.settimeout(LOOK_SECONDS)
    with suppress(OSError, ValueError), connection.makefile("rb") as stream:
        return [str(word) for word in json.load(stream)]
    return []


def reap() -> None:
    """Let processes go that have ended, so that their time counts as ours."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    sys.exit(main())
