"""The share of a training step that goes to making its batch.

python benchmarks/input.py                            full network, 224 px
python benchmarks/input.py --width 0.125 --size 64    what one simulates on a laptop

Times are CPU seconds of one thread, medians over the steps.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from federated.config.training import Train
from federated.learning.augmentation import training_view
from federated.learning.batches import Images, load_batch
from federated.learning.compute import autocast, native_bf16
from federated.learning.models import build_model
from federated.learning.optimizers import make_optimizer
from federated.seeding import torch_generator

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    side = round(given.size * 256 / 224)  # as published: crops of 224 px out of 256
    pixels = np.random.default_rng(0).integers(0, 256, (256, side, side)).astype(np.uint8)
    images = Images(pixels, torch.arange(256) % 2, given.size)
    generator = torch_generator(0, "a", 1, "train")
    model = build_model(
        "covidnet", width=given.width, image_size=given.size, norm="batch", generator_seed=0
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(list(model.parameters()), Train(), 1e-4)
    loading, steps = [], []
    for _ in range(given.steps + 1):
        start = time.process_time()
        show = training_view(Train(), generator)
        x, y = load_batch(images, torch.randperm(256)[: given.batch], CPU, show)
        loading.append(time.process_time() - start)
        with autocast(CPU, bf16=native_bf16(CPU)):
            logits, _ = model(x)
        optimizer.zero_grad()
        cross_entropy(logits.float(), y).backward()
        optimizer.step()
        steps.append(time.process_time() - start)
    batch, step = (1e3 * statistics.median(times[1:]) for times in (loading, steps))
    print(f"covidnet width {given.width:g}, {given.size} px, batch {given.batch}")
    print(f"batch {batch:.2f} ms of a step of {step:.1f} ms: {batch / step:.1%}")


if __name__ == "__main__":
    main()
