"""Processes that do not outlive us, each with a log of its own."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from federated.errors import UserError
from federated.storage import PRIVATE_FILE

PR_SET_PDEATHSIG = 1
GRACE = 10.0
"""Seconds between asking a process to end and ending it."""

PROGRAMS = Path(sysconfig.get_path("scripts"))
"""Where Flower's programs are installed; a system's own Python may lie elsewhere."""
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    # How often a node looks whether there is a message to start a process for, in seconds.
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
}
"""Of every Flower process that we start, and of those that a hospital does (docs/DEPLOY.md)."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a Flower process.

    Args:
        home: Where Flower keeps the apps that it was sent.
        **more: Variables beside.
    """
    # A process looks for flower-superexec and flwr-clientapp by name.
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **ENVIRONMENT, "FLWR_HOME": str(home), "PATH": path, **more}


def start(
    words: Sequence[str], log: Path, variables: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, which ends when we do, whatever ends us.

    A group of its own, so that Ctrl-C reaches only us, who end all of them in order.

    Args:
        words: The command.
        log: Its output is appended to.
        variables: Its whole environment.
        folder: Where it runs.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE)
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(variables),
            cwd=folder,
            start_new_session=True,
            preexec_fn=dying_with_parent(),
        )
    finally:
        os.close(descriptor)


def dying_with_parent() -> Callable[[], None] | None:
    """Return what has the kernel kill a child when its parent dies; only Linux can."""
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here: between fork and exec a child must not import anything.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes together, with all that they have started: asked first, then killed."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in processes:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started, as a loss of power would."""
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def await_listener(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    """Wait until a process listens.

    Raises:
        UserError: it ended, or took longer than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise UserError(f"a process ended before it listened on port {port}; see {log}.")
        if time.monotonic() > deadline:
            raise UserError(f"nothing listens on port {port} after {seconds:g} s; see {log}.")
        time.sleep(0.1)
