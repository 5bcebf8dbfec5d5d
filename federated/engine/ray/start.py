"""Starting Ray, also ahead of time: it mostly waits, and this process has imports to do meanwhile.

Nothing here imports Ray or torch before it has to.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from federated.errors import UserError

ONLOOKERS = ("start_monitor", "start_log_monitor", "start_api_server")

# Kept: Linux ends Ray's processes with the thread, not the process, that started them.
_pool = ThreadPoolExecutor(1, "ray")
_begun: dict[str, "Future[None]"] = {}


def start_ahead(address: str) -> None:
    """Begin in a thread what ``start_ray`` will wait for."""
    _begun[address] = _pool.submit(_start, address)


def start_ray(address: str) -> None:
    """Join the cluster at ``address``, or start one of our own with all cores.

    Raises:
        UserError: there is no cluster at that address.
    """
    begun = _begun.pop(address, None)
    if begun:
        begun.result()
    else:
        _start(address)


def reachable(address: str) -> bool:
    """Return whether something listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return True
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except (OSError, ValueError):
        return False


def _start(address: str) -> None:
    if not reachable(address):
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's 15 is meant for other people's machines: beside any other load the sites would starve.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    # Workers import what this process would: a client of the user's own may lie anywhere.
    path = os.pathsep.join(filter(None, sys.path))
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address, runtime_env={"env_vars": {"PYTHONPATH": path}}, **quiet)
            return
        # Our own cluster inherits it. A runtime environment would throw away the two workers that
        # Ray starts early and cost each new one a process more: 0.6 s.
        with _environment("PYTHONPATH", path), _without_onlookers():
            # "local": without an address Ray would join any cluster that is running.
            ray.init("local", include_dashboard=False, **quiet)
    except ConnectionError as error:
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.") from error


@contextmanager
def _without_onlookers() -> Iterator[None]:
    """Start no process that only watches: they take 1.2 s of processor time and 0.4 s to start.

    These are the autoscaler of a cluster that cannot grow, a log monitor whose lines no one wants,
    and what is left of the dashboard. Ray has switches for none of them, so its private methods are
    stilled; should a version have others, they are left alone and start as always.
    """
    from ray._private.node import Node

    stilled = {name: vars(Node)[name] for name in ONLOOKERS if name in vars(Node)}
    for name in stilled:
        setattr(Node, name, lambda node, **options: None)
    try:
        yield
    finally:
        for name, method in stilled.items():
            setattr(Node, name, method)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
