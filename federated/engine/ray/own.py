"""A Ray cluster of our own: on the loopback interface, behind a token, in a private folder.

By itself Ray listens on every interface, and whoever reaches one of its sockets runs code as the
user who started it. It has settings for tokens, but none for the rest, so a few of its private
names are set while it starts; tests/test_raystart.py says when one of them moves.
"""

import atexit
import ctypes
import logging
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services, worker
from ray._private.node import Node
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from federated.engine import CLIENT_APP
from federated.engine.ray import forks, tied
from federated.engine.ray.cluster import Cluster, paths_of_this_process
from federated.errors import UserError

ONLOOKERS = ("start_monitor", "start_log_monitor", "start_api_server")
AGENT_COMMAND = "_build_python_executable_command_memory_profileable"
"""Ray's function whose words come before the program of an agent."""
LONGEST_PARENT = 24
"""Letters of the folder in which ours is made: Ray and we add 79 to it for its sockets, and
macOS has room for 103 (Linux for 107)."""
IMPORTED = ("torch", "flwr.clientapp", CLIENT_APP.partition(":")[0])
"""What every worker needs, before it is known who its client is."""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

_folders: set[Path] = set()


def start() -> Cluster:
    """Start a cluster with all cores of this machine.

    Raises:
        UserError: there is no folder for Ray's sockets, or Ray did not start.
    """
    folder = make_folder()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    # Our own cluster inherits the path. A runtime environment would throw away the two workers that
    # Ray starts early and cost each new one a process more: 0.6 s.
    path = {"PYTHONPATH": paths_of_this_process()}
    try:
        with ExitStack() as stack:
            for name, value in {**token, **path}.items():
                stack.enter_context(environment(name, value))
            stack.enter_context(_on_loopback())
            stack.enter_context(_without_onlookers())
            stack.enter_context(_tied())
            stack.enter_context(_signals_kept())
            read_token()
            seed = stack.enter_context(forks.sown(folder, IMPORTED))
            # "local": without an address Ray would join any cluster that is running.
            # Ray makes its folder readable to all, so ours is around it.
            ray.init("local", include_dashboard=False, _temp_dir=str(folder / "r"), **QUIET)
    except Exception as error:
        _end(folder)
        raise UserError(
            f"Ray did not start: {' '.join(str(error).split())[:300]} Mend it, or run without Ray: "
            "engine.kind=inline."
        ) from error
    worker._worker_logs_enabled = False  # it would print on standard output, amid our JSON
    return Cluster(lambda: _end(folder, seed), _ended)


def make_folder() -> Path:
    """Return a new folder of mode 0700, with a short name, for Ray's sockets and logs.

    A cluster's scheduler often gives a job a TMPDIR whose name is longer than a socket's may be.

    Raises:
        UserError: there is none.
    """
    wanted = os.environ.get("RAY_TMPDIR")
    # Only places for a folder of our own, made with a name that nobody can guess, mode 0700.
    short = ["/tmp", "/var/tmp", "/dev/shm"]  # noqa: S108
    parents = [wanted] if wanted else [tempfile.gettempdir(), *short]
    for parent in parents:
        if len(parent) > LONGEST_PARENT:
            continue
        try:
            _folders.add(folder := Path(tempfile.mkdtemp(prefix="ray-", dir=parent)))
        except OSError:
            continue
        return folder
    raise UserError(
        f"Ray needs a folder for its sockets whose name has at most {LONGEST_PARENT} letters, and "
        f"none of {', '.join(parents)} is one that can be written to; set RAY_TMPDIR to one, or "
        "run without Ray: engine.kind=inline."
    )


@atexit.register
def remove_folders() -> None:
    """Remove what Ray left: its sockets, its logs, and arrays that did not fit into memory."""
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def read_token() -> None:
    """Have Ray read again what the environment says about tokens: it does so only once."""
    AuthenticationTokenLoader.instance().reset_cache()
    Config.initialize("")


def _ended() -> str:
    """Return the name of a process of the cluster that is no more, if there is one."""
    node: Any = worker._global_node
    for name, processes in node.all_processes.items() if node else ():
        if any(started.process.poll() is not None for started in processes):
            return str(name)
    return ""


def _end(folder: Path, seed: subprocess.Popen[bytes] | None = None) -> None:
    """End the cluster, a broken one by force: Ray would wait for it to come back."""
    if worker._global_node and _ended():
        worker._global_node.kill_all_processes(check_alive=False)
    ray.shutdown()
    forks.end(seed)
    worker._worker_logs_enabled = True
    read_token()
    shutil.rmtree(folder, ignore_errors=True)
    _folders.discard(folder)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Ray take this machine's address to be the loopback, as it does on macOS and Windows."""
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _without_onlookers() -> Iterator[None]:
    """Start no process that only watches: they take 1.2 s of processor time and 0.4 s to start.

    These are the autoscaler of a cluster that cannot grow, a log monitor whose lines no one wants,
    and what is left of the dashboard. Ray has switches for none of them, so its private methods are
    stilled; should a version have others, they are left alone and start as always.
    """
    stilled = {name: vars(Node)[name] for name in ONLOOKERS if name in vars(Node)}
    for name in stilled:
        setattr(Node, name, lambda node, **options: None)
    try:
        yield
    finally:
        for name, method in stilled.items():
            setattr(Node, name, method)


@contextmanager
def _tied() -> Iterator[None]:
    """Have the raylet start its agents and workers by ``tied.py``, for them to end with it."""
    command, setup = getattr(services, AGENT_COMMAND), ray_constants.SETUP_WORKER_FILENAME
    program = str(Path(tied.__file__).resolve())

    def tied_command(*given: Any, **options: Any) -> list[str]:
        return [*command(*given, **options), program]

    setattr(services, AGENT_COMMAND, tied_command)
    ray_constants.SETUP_WORKER_FILENAME = program  # absolute: Ray's folder is left out
    try:
        yield
    finally:
        setattr(services, AGENT_COMMAND, command)
        ray_constants.SETUP_WORKER_FILENAME = setup


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep SIGTERM from Ray's native code, which prints a stack, and SIGHUP from its processes.

    A terminal that closes hangs up all of them, and this process still wants to end in order.
    """
    get, set_ = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype = set_.restype = ctypes.c_void_p
    set_.argtypes = (ctypes.c_int, ctypes.c_void_p)
    handler = get(signal.SIGTERM)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        set_(signal.SIGTERM, handler)


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
