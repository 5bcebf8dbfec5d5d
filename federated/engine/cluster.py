"""The Ray cluster that the workers run on: one that is running, or one of our own."""

import logging
import os
import socket
import sys

import ray

from federated.errors import UserError


def default_workers(threads: int, gpus: float) -> int:
    """Return how many workers fill the cluster's cores, or its GPUs if they are used."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    by_cpu = int(resources.get("CPU", 1)) // threads
    if gpus and not resources.get("GPU"):
        raise UserError(f"engine.gpus = {gpus:g}, but the Ray cluster has no GPU; set it to 0.")
    by_gpu = int(resources.get("GPU", 0) / gpus) if gpus else by_cpu
    return max(1, min(by_cpu, by_gpu))


def free_cores() -> float:
    """Return how many CPUs of the cluster no one has reserved."""
    return float(ray.available_resources().get("CPU", 0))  # type: ignore[no-untyped-call]


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


def start_ray(address: str) -> None:
    """Join the cluster at ``address``, or start one of our own with all cores.

    Raises:
        UserError: there is no cluster at that address.
    """
    if not reachable(address):
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # "local" starts a cluster of our own; without an address Ray would join any that is running.
    try:
        ray.init(
            address=address or "local",
            # Workers import what this process would: a client of the user's own may lie anywhere.
            runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if not address else None,
        )
    except ConnectionError as error:
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.") from error
