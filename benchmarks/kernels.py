"""Speed of a training step, and the share of the processor's peak that each layer reaches.

python benchmarks/kernels.py             full network, 224 px: published style against this one
python benchmarks/kernels.py --layers    the same network, layer by layer
python benchmarks/kernels.py --loop      train_round against a bare PyTorch loop
python benchmarks/kernels.py --pooling   every term of a block's sum pooled, against the sum pooled

Times are CPU seconds of one thread, the least of interleaved repeats: other programs disturb them
least.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, max_pool2d

from federated.config.training import Train
from federated.learning.augmentation import training_view
from federated.learning.batches import Images, batch_slices, epoch_order, load_batch, round_batches
from federated.learning.compute import Compute, autocast, native_bf16
from federated.learning.models import build_model
from federated.learning.models.blocks import WholeMapConv2d
from federated.learning.models.covidnet import Backbone
from federated.learning.optimizers import make_optimizer
from federated.learning.terms import CrossEntropy
from federated.learning.training import train_round
from federated.seeding import torch_generator

CPU = torch.device("cpu")
GFLOP = 12.3  # of one image of 224 px forward at width 1; backward costs twice that


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least CPU seconds of each, run in turns after one warm-up each."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats + 1)]
    return {name: min(times[name] for times in rounds[1:]) for name in works}


def peak(dtype: torch.dtype) -> float:
    """Return GFLOP/s of a 2048^3 product."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    return 2 * 2048**3 / least({"": lambda: a @ b}, 5)[""] / 1e9


def network(width: float, size: int) -> nn.Module:
    return build_model("covidnet", width=width, image_size=size, norm="batch", generator_seed=0)


def step_of(
    width: float,
    size: int,
    batch: int,
    *,
    ours: bool,
    bf16: bool,
    backbone: type[Backbone] = Backbone,
) -> Callable[[], None]:
    """Return a training step: as a naive script writes it, or in this package's format."""
    layout = torch.channels_last if ours else torch.contiguous_format
    model = network(width, size).to(memory_format=layout)  # type: ignore[call-overload]
    model.backbone.__class__ = backbone
    x = torch.randn(batch, 3, size, size).contiguous(memory_format=layout)
    y = torch.arange(batch) % 2
    plain = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-7)
    optimizer = make_optimizer(list(model.parameters()), Train(), 1e-4) if ours else plain

    def step() -> None:
        with autocast(CPU, bf16=bf16):
            logits, _ = model(x)
        optimizer.zero_grad()
        cross_entropy(logits.float(), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()

    return step


class PoolsTheSum(Backbone):
    """The backbone with one pooling of each block's sum, where the paper pools every term."""

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        stem = self.stem(images)
        total, terms = self.blocks[0](stem, self.longs[0](stem))
        for block, long in zip(self.blocks[1:], self.longs[1:], strict=True):
            total, terms = block(max_pool2d(total, 2), long(total))
        return terms[-1]


def pooling(width: float, size: int, batch: int, repeats: int) -> None:
    """Print the CPU time of a training step over that of the network that pools the sum."""
    for bf16 in (False, True):
        steps = {
            name: step_of(width, size, batch, ours=True, bf16=bf16, backbone=kind)
            for name, kind in (("terms", Backbone), ("sum", PoolsTheSum))
        }
        found = least(steps, repeats)
        name, ratio = "bf16" if bf16 else "fp32", found["terms"] / found["sum"]
        print(f"covidnet width {width:g}, {size} px, batch {batch}, {name}: {ratio:.3f}")


def compare(width: float, size: int, batch: int, repeats: int) -> None:
    """Print images a second and core of the published style and of this package's."""
    shape = (width, size, batch)
    steps = {
        "published style (fp32, NCHW)": step_of(*shape, ours=False, bf16=False),
        "channels_last, fused Adam": step_of(*shape, ours=True, bf16=False),
        "channels_last, fused Adam, bf16": step_of(*shape, ours=True, bf16=True),
    }
    found = least(steps, repeats)
    first, full = next(iter(found.values())), width == 1 and size == 224
    tops = {False: peak(torch.float32), True: peak(torch.bfloat16)}
    print(f"covidnet width {width:g}, {size} px, batch {batch}; native bf16: {native_bf16(CPU)}")
    print(f"peak GFLOP/s of a core: fp32 {tops[False]:.0f}, bf16 {tops[True]:.0f}")
    for name, spent in found.items():
        share = 3 * GFLOP * batch / spent / tops["bf16" in name]
        of_peak = f", {share:.0%} of peak" if full else ""
        print(f"{name:34s} {batch / spent:7.2f} images/s, {first / spent:.2f}x{of_peak}")


def layers(batch: int, *, bf16: bool) -> None:
    """Print GFLOP, ms and share of peak of every convolution of the full network."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    top = peak(dtype)
    seen: Counter[tuple[tuple[int, ...], int, Any, Any]] = Counter()

    def note(module: Any, args: tuple[Tensor], _: Tensor) -> None:
        shape = tuple(module.weight.shape)
        seen[shape, args[0].shape[-1], module.stride, module.padding] += 1

    model = network(1.0, 224).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, 3, 224, 224))
    print(f"{'weight':>20s} {'map':>4s} {'times':>5s} {'GFLOP':>6s} | ms and share, fwd | bwd")
    for (shape, side, stride, padding), times in seen.items():
        n_out, n_in, size, _ = shape
        groups = n_out if n_in == 1 else 1
        kind = WholeMapConv2d if side == size else nn.Conv2d
        conv = kind(n_in * groups, n_out, size, stride, padding, groups=groups)
        conv = conv.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(batch, n_in * groups, side, side).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_(n_in > 3 or groups > 1)
        y = conv(x)
        gradient = torch.ones_like(y)
        wanted = [*conv.parameters(), *([x] if x.requires_grad else [])]
        works: dict[str, Callable[[], object]] = {
            "fwd": partial(conv, x.detach()),
            "bwd": partial(torch.autograd.grad, y, wanted, gradient, retain_graph=True),
        }
        flop = 2 * conv.weight.numel() * y[0, 0].numel() * batch / 1e9
        told = least(works, 3)
        cost = {"fwd": flop, "bwd": flop * (len(wanted) - 1)}
        cells = [f"{1e3 * t:7.1f} {cost[k] / t / top:5.0%}" for k, t in told.items()]
        print(f"{shape!s:>20s} {side:4d} {times:5d} {flop:6.1f} | " + " | ".join(cells), flush=True)


def loop(repeats: int) -> None:
    """Print CPU time of train_round over that of a bare loop on the same batches."""
    train = Train(batch_size=32, precision="fp32")
    data = np.random.default_rng(0).integers(0, 256, (640, 36, 36)).astype(np.uint8)
    images = Images(data, torch.arange(640) % 2, 32)
    kinds = ("bare", "train_round")
    nets = {
        kind: build_model("convnet", width=1, image_size=32, norm="batch", generator_seed=0).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )
        for kind in kinds
    }

    def bare() -> None:
        model, generator = nets["bare"], torch_generator(0, "a", 1, "train")
        model.train()
        optimizer = make_optimizer(list(model.parameters()), train, 1e-3)
        order = epoch_order(images.labels.numpy(), "natural", generator)
        for batch in batch_slices(len(order), 32):
            x, y = load_batch(images, order[batch], CPU, training_view(train, generator))
            optimizer.zero_grad()
            loss = cross_entropy(model(x)[0], y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()

    def ours() -> None:
        model, generator = nets["train_round"], torch_generator(0, "a", 1, "train")
        train_round(
            model,
            round_batches(images, train, generator, CPU),
            terms=[CrossEntropy()],
            optimizer=make_optimizer(list(model.parameters()), train, 1e-3),
            clip_norm=train.clip_norm,
            compute=Compute(CPU, bf16=False),
        )

    found = least({"bare": bare, "train_round": ours}, repeats)
    each = {name: f"{1e3 * spent / 20:.2f} ms a step" for name, spent in found.items()}
    print(each, f"ratio {found['train_round'] / found['bare']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--pooling", action="store_true")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.layers:
        layers(given.batch, bf16=native_bf16(CPU))
    elif given.loop:
        loop(given.repeats)
    elif given.pooling:
        pooling(given.width, given.size, given.batch, given.repeats)
    else:
        compare(given.width, given.size, given.batch, given.repeats)


if __name__ == "__main__":
    main()
