"""Speed on a GPU: images a second, share of peak, sites side by side, the published schedule.

python benchmarks/gpu.py                              full network, 224 px, on the GPU
python benchmarks/gpu.py --device cpu --width 0.125 --size 64 --batches 4 --steps 1 --no-compile

The second line only shows that the program works. Everything runs in this process, without Ray.
Times are wall seconds between synchronisations, the median of the repeats.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from federated.config.training import Train
from federated.learning.compute import autocast, native_bf16, repeat_bits_on_gpu
from federated.learning.models import build_model
from federated.learning.optimizers import make_optimizer

# The published schedule (arXiv 2009.07652): 100 epochs, COVID-CT four times in each. The numbers of
# training images are those of our splits (docs/RESULTS.md).
EPOCHS, IMAGES_AN_EPOCH = 100, 4 * 425 + 1217

Step = Callable[[], object]


def network(given: argparse.Namespace) -> nn.Module:
    model = build_model(
        "covidnet", width=given.width, image_size=given.size, norm="batch", generator_seed=0
    )
    return model.to(given.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def step_of(given: argparse.Namespace, batch: int, *, compiled: bool = False) -> Step:
    """Return a training step of a network of its own, on one resident batch."""
    device, model = torch.device(given.device), network(given)
    optimizer = make_optimizer(list(model.parameters()), Train(), 1e-4)
    x = torch.randn(batch, 3, given.size, given.size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.arange(batch, device=device) % 2
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with autocast(device, bf16=native_bf16(device)):
            logits, _ = forward(x)
        optimizer.zero_grad()
        cross_entropy(logits.float(), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()

    return step


def seconds(given: argparse.Namespace, work: Step) -> float:
    """Return the median wall seconds of ``given.steps`` calls, after two to warm up."""
    wait = torch.cuda.synchronize if given.device == "cuda" else lambda: None
    times = []
    for _ in range(given.steps + 2):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def peak(given: argparse.Namespace) -> float:
    """Return FLOP/s of a square product in the precision of the steps."""
    device, side = torch.device(given.device), 8192 if given.device == "cuda" else 512
    dtype = torch.bfloat16 if native_bf16(device) else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds(given, lambda: torch.mm(a, b))


def flop_of_an_image(given: argparse.Namespace) -> float:
    """Return the FLOP of a training step an image: forward, and twice that backward."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        small = argparse.Namespace(**{**vars(given), "device": "meta"})
        network(small)(torch.empty(2, 3, given.size, given.size))
    return 3 * counter.get_total_flops() / 2


def speeds(given: argparse.Namespace) -> float:
    """Print images a second for every batch size; return the best without compilation."""
    top, flop, best = peak(given), flop_of_an_image(given), 0.0
    print(f"peak {top / 1e12:.2f} TFLOP/s by a product; {flop / 1e9:.2f} GFLOP an image")
    for batch in given.batches:
        for compiled in (False, True)[: 1 if given.no_compile else 2]:
            speed = batch / seconds(given, step_of(given, batch, compiled=compiled))
            best = best if compiled else max(best, speed)
            kind = "compiled" if compiled else "eager"
            print(f"batch {batch:4d} {kind:8s} {speed:9.1f} images/s {speed * flop / top:6.1%}")
    return best


def side_by_side(given: argparse.Namespace, sites: int, batch: int) -> None:
    """Print images a second of several sites on one device, in turn and on a stream each."""
    steps = [step_of(given, batch) for _ in range(sites)]
    on_gpu = given.device == "cuda"
    streams = [torch.cuda.Stream() if on_gpu else None for _ in steps]

    def in_turn() -> None:
        for step in steps:
            step()

    def together() -> None:
        for step, stream in zip(steps, streams, strict=True):
            with torch.cuda.stream(stream) if on_gpu else nullcontext():
                step()

    for name, work in (("in turn", in_turn), ("on streams", together)):
        speed = sites * batch / seconds(given, work)
        print(f"{sites} sites of batch {batch}, {name:10s} {speed:9.1f} images/s")
    if on_gpu:
        print(f"memory at most {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--sites", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--no-compile", action="store_true")
    given = parser.parse_args()
    if given.device == "cuda":
        if not torch.cuda.is_available():
            print("torch sees no GPU here, so there is nothing to measure.", file=sys.stderr)
            return 1
        repeat_bits_on_gpu()
        print(torch.cuda.get_device_name())
    best = speeds(given)
    for sites in given.sites:
        side_by_side(given, sites, min(32, max(given.batches)))
    hours = EPOCHS * IMAGES_AN_EPOCH / best / 3600
    print(f"{EPOCHS} epochs of {IMAGES_AN_EPOCH} images: {hours:.2f} hours of training")
    return 0


if __name__ == "__main__":
    sys.exit(main())
