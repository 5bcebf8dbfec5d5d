"""Start a Python process of Ray that ends with its raylet: python tied.py PROGRAM ARGUMENT...

Ray's raylet ends with us, and what the raylet starts watches the raylet. But each of its two agents
first reports the loss to a cluster that is lost too, and waits minutes for the answer. Linux ends a
process with its parent if it asks for that, which is done here before anything else.

A worker is forked where there is something to fork it from (``forks.py``).
"""

import ctypes
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
RAYLET = "RAY_RAYLET_PID"
SEED = "CONSILIUM_SEED_SOCKET"
"""Variable of the environment that says where to ask for a fork (``forks.py``)."""
LANGUAGE, CONTEXT = "--language=", "--serialized-runtime-env-context="
"""What the raylet adds to the arguments of a worker: its kind, and an environment if it has one."""


def end_with(parent: int) -> None:
    """Have Linux kill this process when its parent ends; end it if that has happened already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def program_of(arguments: list[str]) -> list[str]:
    """Return which program to run, with its arguments.

    Ray starts a worker by a program that sets its environment up and then starts another. Without
    an environment to set up that one comes first, which saves importing Ray twice.
    """
    if not any(word.startswith(LANGUAGE) for word in arguments):
        return arguments
    if arguments[0].startswith("-") or any(word.startswith(CONTEXT) for word in arguments):
        import ray

        return [str(Path(ray.__file__).parent / "_private/workers/setup_worker.py"), *arguments]
    return [word for word in arguments if not word.startswith(LANGUAGE)]


def hand_over(arguments: list[str]) -> bool:
    """Have a worker be forked; return, when it has ended, whether there was one."""
    place = os.environ.get(SEED, "")
    if not place or Path(arguments[0]).name != "default_worker.py":
        return False
    text = json.dumps({"arguments": arguments, "environment": dict(os.environ)}).encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(place)
            socket.send_fds(connection, [text[:1]], [0, 1, 2])
            connection.sendall(text[1:])
            connection.shutdown(socket.SHUT_WR)
            forked = bool(connection.recv(1))
            connection.recv(1)  # comes to an end with the fork
    except OSError:  # nobody is there any more
        return False
    return forked


def run(arguments: list[str]) -> None:
    """Be the program."""
    sys.argv[:] = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    end_with(int(os.environ[RAYLET]))
    program = program_of(sys.argv[1:])
    if not hand_over(program):
        run(program)
