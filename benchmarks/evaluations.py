"""What evaluation costs: of a run, by how often and on what it is done; of an image, by its views.

python benchmarks/evaluations.py rounds --repeats 1
python benchmarks/evaluations.py views --repeats 3

``rounds`` runs two synthetic hospitals of 320 training, 80 validation and 400 test images each, 15
steps a round, once for each way to evaluate, interleaved; processor time of all processes.
``views`` evaluates the same images as a centre crop and in the 20 views of the end, interleaved:
images a processor second, an image in 20 views counted as 20. Times are of the processor, the least
of the repeats, on one thread.
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import count

import numpy as np
import torch
from measuring import adopt_orphans, measure
from peers import CONSILIUM

from federated.learning.batches import Images
from federated.learning.compute import Compute
from federated.learning.evaluation import predict
from federated.learning.models import build_model
from federated.learning.views import MOST_VIEWS

RUN = (
    *("engine.kind=inline", "methods=fedbn", "rounds=5", "train.max-steps=15"),
    *("phantom.sites=2", "phantom.patients=800", "phantom.slices=1", "data.image-size=64"),
    *("data.val-fraction=0.1", "data.test-fraction=0.5", "train.precision=fp32"),
    "eval.views=centre",
)
WAYS = {
    "validation and test images, each round": ("eval.test=rounds",),
    "validation images, each round": (),
    "validation images, each fifth round": ("eval.every=5",),
}
SHAPES = (("convnet", 1.0, 32), ("covidnet", 0.125, 64), ("covidnet", 0.125, 96))
COUNTS = (4, 64, 256)


def command(scratch: str, number: int, *settings: str) -> list[str]:
    """Return the command of a run into a fresh folder."""
    places = (f"folder={scratch}/run-{number}", f"data.cache={scratch}/cache")
    return [*CONSILIUM, "--no-report", *RUN, *places, *settings]


def rounds(repeats: int) -> None:
    """Print the processor time of a run by the way it evaluates."""
    adopt_orphans()
    numbers = count()
    costs: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        measure(command(scratch, next(numbers), "rounds=1"))  # fills the cache
        for repeat in range(repeats):
            for way, settings in WAYS.items():
                costs[way].append(measure(command(scratch, next(numbers), *settings)).cpu)
                print(f"{repeat} {way}: {costs[way][-1]:.1f} CPU-s", file=sys.stderr)
    base = statistics.median(next(iter(costs.values())))
    print("| evaluated | CPU-s of the run | ratio |\n|---|---|---|")
    for way, found in costs.items():
        print(f"| {way} | {statistics.median(found):.1f} | {statistics.median(found) / base:.2f} |")


def speed(model: torch.nn.Module, images: Images, kind: str, looks: int) -> float:
    """Return looks a processor second."""
    start = time.process_time()
    predict(model, images, Compute(torch.device("cpu"), False), views=kind)
    return looks / (time.process_time() - start)


def views(repeats: int) -> None:
    """Print the speed of both ways to show an image, by network and number of images."""
    torch.set_num_threads(1)
    print(
        "| network | images | centre, images/s | 20 views, views/s | ratio |\n|---|---|---|---|---|"
    )
    for name, width, size in SHAPES:
        model = build_model(name, width=width, image_size=size, norm="batch", generator_seed=0)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for number in COUNTS:
            generator = np.random.default_rng(0)
            side = size * 256 // 224
            pixels = generator.integers(0, 256, (number, side, side), dtype=np.uint8)
            images = Images(pixels, torch.arange(number) % 2, size)
            found: dict[str, list[float]] = {"centre": [], "crops": []}
            for repeat in range(repeats + 1):
                for kind, looks in (("centre", number), ("crops", MOST_VIEWS * number)):
                    found[kind].append(speed(model, images, kind, looks) if repeat else 0.0)
            plain, crops = max(found["centre"]), max(found["crops"])
            row = f"| {name} {width:g}, {size} px | {number} "
            print(f"{row}| {plain:.0f} | {crops:.0f} | {crops / plain:.2f} |", flush=True)


def main() -> None:
    """Measure what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("rounds", "views"))
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    {"rounds": rounds, "views": views}[given.what](given.repeats)


if __name__ == "__main__":
    main()
