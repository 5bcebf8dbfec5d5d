"""Slices of 224x224 a second that the phantom makes, in one process and in one per core.

python benchmarks/phantom_speed.py
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor

from federated.config.images import Phantom
from federated.phantom import phantom_site

PATIENTS, SLICES, SIDE = 60, 4, 224


def make(site: int) -> int:
    """Make one hospital and return its number of slices."""
    return len(phantom_site(Phantom(patients=PATIENTS, slices=SLICES), site, SIDE).labels)


def measure(workers: int) -> float:
    """Return slices a second with ``workers`` processes, their start not counted."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(make, range(workers)))
        start = time.perf_counter()
        made = sum(pool.map(make, range(2 * workers)))
        return made / (time.perf_counter() - start)


if __name__ == "__main__":
    for count in dict.fromkeys((1, os.cpu_count() or 1)):
        print(f"{count} process(es): {measure(count):.0f} slices of {SIDE}x{SIDE} a second")
