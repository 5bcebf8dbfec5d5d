"""What the Ray cluster that the workers run on has room for."""

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
