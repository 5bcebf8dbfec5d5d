"""Parallel efficiency from one Ray worker to two, next to what the machine itself allows.

python benchmarks/scaling.py [--repeats 3] [--sites 4]

A study with equal sites and some seconds of training a round. Efficiency is t1 / (2 t2), with t1
and t2 the median seconds of a warm round with one and two workers. The machine's own is that of
two bare processes which do the same training without any framework: shared caches, memory and
clock rates are in both. Last, what two bare processes lose with two torch threads each on two
cores; Consilium's workers reserve a core for each thread, so that they never do.
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import count
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from measuring import COLD_ROUNDS, adopt_orphans, measure

ROUNDS = COLD_ROUNDS + 3
BARE_STEPS = 60
SETTINGS = {
    "methods": "fedbn",
    "rounds": ROUNDS,
    "phantom.patients": 120,
    "data.image-size": 64,
    "model.width": 0.25,
    "train.precision": "fp32",
    "engine.kind": "ray",
}


def round_seconds(folder: Path, *, workers: int, sites: int) -> float:
    """Return the seconds of a warm round."""
    places = {"folder": folder, "data.cache": folder.parent / "cache"}
    engine = {"engine.workers": workers, "phantom.sites": sites}
    words = [f"{key}={value}" for key, value in {**SETTINGS, **places, **engine}.items()]
    command = [sys.executable, "-m", "federated.commands.main", "run", "--no-report", *words]
    return measure(command).warm


def bare_seconds(processes: int, threads: int) -> float:
    """Return the seconds in which each of some processes takes the same number of steps."""
    context = get_context("spawn")
    barrier = context.Barrier(processes)
    queue = context.SimpleQueue()
    workers = [
        context.Process(target=_train, args=(threads, barrier, queue)) for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return max(queue.get() for _ in workers)


def _train(threads: int, barrier: Barrier, queue) -> None:  # type: ignore[no-untyped-def]
    import torch

    from federated.learning.models import build_model

    torch.set_num_threads(threads)
    width, size = float(str(SETTINGS["model.width"])), int(str(SETTINGS["data.image-size"]))
    model = build_model("covidnet", width=width, image_size=size, norm="batch", generator_seed=0)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters())
    images = torch.randn(32, 3, size, size).contiguous(memory_format=torch.channels_last)
    for step in range(BARE_STEPS + 10):
        if step == 10:
            barrier.wait()
            started = time.perf_counter()
        optimizer.zero_grad()
        model(images)[0].square().mean().backward()
        optimizer.step()
    queue.put(time.perf_counter() - started)


def main() -> None:
    """Measure everything in turn and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sites", type=int, default=4)
    arguments = parser.parse_args()
    adopt_orphans()
    bare = {"1 process": (1, 1), "2 processes": (2, 1), "2 processes, 2 threads each": (2, 2)}
    seconds: dict[str, list[float]] = {name: [] for name in ("1 worker", "2 workers", *bare)}
    number = count()
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(arguments.repeats):
            for workers, name in ((1, "1 worker"), (2, "2 workers")):
                folder = Path(scratch) / f"run-{next(number)}"
                took = round_seconds(folder, workers=workers, sites=arguments.sites)
                seconds[name].append(took)
            for name, (processes, threads) in bare.items():
                seconds[name].append(bare_seconds(processes, threads))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name}: {value:.2f} s ({', '.join(f'{v:.2f}' for v in seconds[name])})")
    ours = median["1 worker"] / (2 * median["2 workers"])
    machine = median["1 process"] / median["2 processes"]
    print(f"efficiency {ours:.2f}; two bare processes {machine:.2f}; ratio {ours / machine:.2f}")
    harm = median["2 processes, 2 threads each"] / median["2 processes"]
    print(f"two threads in each of two processes take {harm:.2f} times as long")


if __name__ == "__main__":
    main()
