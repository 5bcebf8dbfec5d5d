"""Opening a Ray cluster, also ahead of time: it mostly waits, and this process has imports to do.

Nothing here imports Ray or torch before it has to.
"""

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated.engine.ray.cluster import Cluster

# Kept: Linux ends Ray's processes with the thread, not the process, that started them. So nothing
# outlives this process, however it ends.
_pool = ThreadPoolExecutor(1, "ray")
_begun: dict[str, "Future[Cluster]"] = {}


def start_ahead(address: str) -> None:
    """Begin in a thread what ``open_cluster`` will wait for."""
    _begun[address] = _pool.submit(_open, address)


def open_cluster(address: str) -> "Cluster":
    """Join the cluster at ``address``; without one, use what this process has, or start our own.

    Ctrl-C interrupts the waiting at once; the next call waits for the same start.

    Raises:
        UserError: there is no such cluster, or it does not let us in.
    """
    if address not in _begun:
        start_ahead(address)
    begun = _begun[address]
    try:
        return begun.result()
    finally:
        if begun.done():
            del _begun[address]
            _restore_handler()


def leave(status: int) -> None:
    """End this process with ``status`` if Ray is still starting, which nothing can interrupt.

    Ray's processes end with it. What the process would do at its exit is not done: it has not
    begun to work yet.
    """
    if all(begun.done() for begun in _begun.values()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    own = sys.modules.get("federated.engine.ray.own")
    if own is not None:
        own.remove_folders()
    os._exit(status)


def _open(address: str) -> "Cluster":
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's 15 is meant for other people's machines: beside any other load the sites would starve.
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    if ray.is_initialized():
        from federated.engine.ray.join import borrow

        return borrow(address)
    if address:
        from federated.engine.ray.join import join

        return join(address)
    from federated.engine.ray.own import start

    return start()


def _restore_handler() -> None:
    """Let SIGTERM do again what Python was told it should: Ray's native code takes it over."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGTERM)
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)
