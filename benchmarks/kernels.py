"""Speed of a training step, and the share of the processor's peak that each layer reaches.

python benchmarks/kernels.py             full network, 224 px: published style against this one
python benchmarks/kernels.py --layers    the same network, layer by layer
python benchmarks/kernels.py --loop      train_round against a bare PyTorch loop
python benchmarks/kernels.py --seeds 4   test AUC in fp32 and bf16, paired by seed

Times are CPU seconds of one thread, the least of interleaved repeats: other programs disturb them
least.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from federated.config.schema import Contrast, Phantom, Train
from federated.learning.batches import Images, batch_slices, epoch_order, load_batch
from federated.learning.compute import Compute, autocast, native_bf16
from federated.learning.evaluation import predict
from federated.learning.metrics import classification_metrics
from federated.learning.models import build_model
from federated.learning.models.blocks import WholeMapConv2d
from federated.learning.training import make_optimizer, train_round
from federated.phantom import phantom_site
from federated.seeding import torch_generator

CPU = torch.device("cpu")
GFLOP = 12.3  # of one image of 224 px forward at width 1; backward costs twice that


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the least CPU seconds of each, run in turns after one warm-up each."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats + 1)]
    return {name: min(times[name] for times in rounds[1:]) for name in works}


def peak(dtype: torch.dtype) -> float:
    """Return GFLOP/s of a 2048^3 product."""
    a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    return 2 * 2048**3 / least({"": lambda: a @ b}, 5)[""] / 1e9


def network(width: float, size: int) -> nn.Module:
    return build_model("covidnet", width=width, image_size=size, norm="batch", generator_seed=0)


def step_of(width: float, size: int, batch: int, *, ours: bool, bf16: bool) -> Callable[[], None]:
    """Return a training step: as a naive script writes it, or in this package's format."""
    layout = torch.channels_last if ours else torch.contiguous_format
    model = network(width, size).to(memory_format=layout)
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
    top, seen, works = peak(dtype), {}, {}

    def note(module: nn.Module, args: tuple[Tensor], _: Tensor) -> None:
        w = module.weight
        seen.setdefault((tuple(w.shape), args[0].shape[-1], module.stride, module.padding), 0)
        seen[tuple(w.shape), args[0].shape[-1], module.stride, module.padding] += 1

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
        conv = conv.to(dtype=dtype, memory_format=torch.channels_last)
        x = torch.randn(batch, n_in * groups, side, side).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_(n_in > 3 or groups > 1)
        y = conv(x)
        gradient = torch.ones_like(y)
        wanted = [*conv.parameters(), *([x] if x.requires_grad else [])]
        works = {
            "fwd": lambda conv=conv, x=x: conv(x.detach()),
            "bwd": lambda y=y, w=wanted, g=gradient: torch.autograd.grad(
                y, w, g, retain_graph=True
            ),
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
    compute, contrast = Compute(CPU, bf16=False), Contrast()
    kinds = ("bare", "train_round")
    nets = {
        kind: build_model("convnet", width=1, image_size=32, norm="batch", generator_seed=0).to(
            memory_format=torch.channels_last
        )
        for kind in kinds
    }

    def bare() -> None:
        model, generator = nets["bare"], torch_generator(0, "a", 1, "train")
        model.train()
        optimizer = make_optimizer(list(model.parameters()), train, 1e-3)
        order = epoch_order(images.labels.numpy(), "natural", generator)
        for batch in batch_slices(len(order), 32):
            x, y = load_batch(images, order[batch], CPU, generator)
            optimizer.zero_grad()
            loss = cross_entropy(model(x)[0], y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()

    def ours() -> None:
        generator = torch_generator(0, "a", 1, "train")
        more = {"lr": 1e-3, "round": 1, "generator": generator, "compute": compute}
        train_round(nets["train_round"], images, train=train, contrast=contrast, **more)

    found = least({"bare": bare, "train_round": ours}, repeats)
    each = {name: f"{1e3 * spent / 20:.2f} ms a step" for name, spent in found.items()}
    print(each, f"ratio {found['train_round'] / found['bare']:.3f}")


def auc(seed: int, *, bf16: bool) -> float:
    """Return the test AUC of a width-0.25 network after six epochs on a phantom hospital."""
    generator, compute = torch_generator(seed, "a", 1, "train"), Compute(CPU, bf16=bf16)
    made = phantom_site(Phantom(patients=160, seed=seed), 0, 64)
    cut = 3 * len(made.labels) // 4  # patients come one after the other
    labels = torch.as_tensor(made.labels)
    fit, test = (Images(made.images[s], labels[s], 64) for s in (slice(cut), slice(cut, None)))
    model = build_model("covidnet", width=0.25, image_size=64, norm="batch", generator_seed=seed)
    model.to(memory_format=torch.channels_last)
    train, contrast = Train(local_epochs=6), Contrast()
    more = {"lr": 1e-3, "round": 1, "generator": generator, "compute": compute}
    train_round(model, fit, train=train, contrast=contrast, **more)
    probabilities, loss = predict(model, test, compute)
    return float(classification_metrics(probabilities, test.labels.numpy(), loss)["auc"])


def precisions(seeds: int) -> None:
    """Print the AUC of both precisions for each seed, and the mean paired difference."""
    pairs = []
    for seed in range(seeds):
        pairs.append((auc(seed, bf16=False), auc(seed, bf16=True)))
        print(f"seed {seed}: AUC fp32 {pairs[-1][0]:.3f}, bf16 {pairs[-1][1]:.3f}", flush=True)
    gaps = [b - a for a, b in pairs]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    spread = statistics.stdev([a for a, _ in pairs])
    print(f"bf16 - fp32: {statistics.mean(gaps):+.4f} +- {error:.4f}; sd over seeds {spread:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--seeds", type=int, default=0, help="2 or more")
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
    elif given.seeds:
        precisions(given.seeds)
    else:
        compare(given.width, given.size, given.batch, given.repeats)


if __name__ == "__main__":
    main()
