"""Memory of the server and the workers over rounds of many real sites, each with a vault.

python benchmarks/memory.py
python benchmarks/memory.py --sites 1000 --rounds 5 --folder /tmp/memory

Every site trains a tiny network on a few phantom images of 16 pixels and keeps its batch norm and
its memory of embeddings in a vault on disk. A line a round: both columns should stay level, as
nothing in memory belongs to a site that is not being trained.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

from processes import family, resident_mb

from federated.config.study import parse
from federated.data import prepare
from federated.engine import run

SETTINGS = {
    "engine.kind": "ray",
    "methods": "consilium",
    "phantom.patients": "6",
    "phantom.slices": "1",
    "data.image-size": "16",
    "model.name": "convnet",
    "model.width": "0.1",
    "contrast.memory-size": "16",
    "train.batch-size": "8",
    "train.precision": "fp32",
}


def teller() -> Callable[[Mapping[str, Any]], None]:
    """Return a listener that prints a line a round."""
    began = time.perf_counter()

    def listen(event: Mapping[str, Any]) -> None:
        if event["kind"] != "round-ended":
            return
        workers = [p for p, command in family().items() if command.startswith("ray::Worker")]
        largest = max(map(resident_mb, workers), default=0.0)
        print(
            f"{event['round']:5d}  {event['seconds']:9.1f}  {resident_mb():9.0f}  {largest:17.0f}"
            f"  {time.perf_counter() - began:9.0f}",
            flush=True,
        )

    return listen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", default="", help="where runs and images lie; default: nowhere")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        given = {
            **SETTINGS,
            "phantom.sites": str(arguments.sites),
            "rounds": str(arguments.rounds),
            "engine.workers": str(arguments.workers),
            "folder": f"{scratch}/run",
            "data.cache": f"{arguments.folder or scratch}/cache",
        }
        prepare(parse(given).common)
        print("round    seconds  driver MB  largest worker MB  since start")
        run(given, teller())


if __name__ == "__main__":
    main()
