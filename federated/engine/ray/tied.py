"""Start a Python process of Ray that ends with its raylet: python tied.py PROGRAM ARGUMENT...

Ray's raylet ends with us, and what the raylet starts watches the raylet. But each of its two agents
first reports the loss to a cluster that is lost too, and waits minutes for the answer. Linux ends a
process with its parent if it asks for that, which is done here before anything else.
"""

import ctypes
import os
import runpy
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
LANGUAGE, CONTEXT = "--language=", "--serialized-runtime-env-context="
"""What the raylet adds to the arguments of a worker: its kind, and an environment if it has one."""


def end_with_raylet() -> None:
    """Have Linux kill this process when its raylet ends; end it if that has happened already."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(os.environ["RAY_RAYLET_PID"]):
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


if __name__ == "__main__":
    end_with_raylet()
    sys.argv[:] = program_of(sys.argv[1:])
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
