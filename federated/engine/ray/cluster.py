"""The Ray that workers run on: its room, whether it still lives, and how to leave it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from federated.errors import UserError


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        close: Leaves it, and ends it if it is ours.
        lost: Says which of the processes that a cluster of our own cannot do without has ended.
        options: What each worker needs beyond its resources, as options of a Ray actor.
    """

    close: Callable[[], None]
    lost: Callable[[], str] = lambda: ""
    options: Mapping[str, Any] = field(default_factory=dict)


def paths_of_this_process() -> str:
    """Return a PYTHONPATH with which workers import what this process would.

    A client or a network of the user's own may lie anywhere.
    """
    return os.pathsep.join(filter(None, sys.path))


def number_of_workers(wanted: int, sites: int, *, threads: int, gpus: float) -> int:
    """Return how many workers to start.

    Args:
        wanted: ``engine.workers``; 0: as many as the cluster has room for.
        sites: Number of sites of all cells; more workers than that would stand idle.
        threads: CPUs of each worker.
        gpus: GPU share of each.

    Raises:
        UserError: the cluster, even with no one else on it, lacks the room.
    """
    if gpus > 1 and gpus != int(gpus):
        raise UserError(f"engine.gpus = {gpus:g}: beyond 1 it must be a whole number of GPUs.")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in NAMES}
    if gpus and not largest["GPU"]:
        raise UserError(f"engine.gpus = {gpus:g}, but the Ray cluster has no GPU; set it to 0.")
    for name, key, share in (("CPU", "engine.threads", threads), ("GPU", "engine.gpus", gpus)):
        if share > largest[name]:
            raise UserError(
                f"{key} = {share:g}, but no machine of the Ray cluster has more than "
                f"{largest[name]:g} {name}s; set it to that or less."
            )
    room = sum(room_on(node, threads, gpus) for node in nodes)
    if not room:
        raise UserError(
            f"no machine of the Ray cluster has both the {threads} CPUs and the {gpus:g} GPUs that "
            "each worker needs; set engine.threads or engine.gpus lower."
        )
    number = min(wanted or room, sites)
    if number > room:
        raise UserError(
            f"engine.workers = {wanted}, but the Ray cluster has room for {room} workers of "
            f"{threads} CPUs and {gpus:g} GPUs; set it to {room} or less, or to 0 for all of them."
        )
    return number


NAMES = ("CPU", "GPU")


def room_on(node: Mapping[str, float], threads: int, gpus: float) -> int:
    """Return how many workers fit on a node; a share of a GPU does not span two of them."""
    by_cpu = int(node.get("CPU", 0) // threads)
    if not gpus:
        return by_cpu
    whole = int(node.get("GPU", 0))
    by_gpu = whole * int(1 / gpus + 1e-9) if gpus <= 1 else int(whole // gpus)
    return min(by_cpu, by_gpu)


def free_cores() -> float:
    """Return how many CPUs of the cluster no one has reserved."""
    return float(ray.available_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
