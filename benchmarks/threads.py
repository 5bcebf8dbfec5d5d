"""Whether the number of torch threads changes the bits of what is trained.

python benchmarks/threads.py [--threads 2]

Trains five steps on the same batches with one thread and with more, and compares the weights.
"""

import argparse

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.learning.evaluation import outputs
from federated.learning.models import build_model

SHAPES = (("convnet", 1.0, 32), ("covidnet", 0.125, 64))
STEPS, BATCH = 5, 32


def trained(name: str, width: float, size: int, threads: int) -> Tensor:
    """Return all weights, one behind the other, after some steps on that many threads."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    model = build_model(name, width=width, image_size=size, norm="batch", generator_seed=0)
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        x = torch.randn(BATCH, 3, size, size, generator=generator)
        labels = torch.randint(0, 2, (BATCH,), generator=generator)
        loss = F.cross_entropy(outputs(model, x.to(memory_format=torch.channels_last))[0], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    for name, width, size in SHAPES:
        one, again, more = (trained(name, width, size, n) for n in (1, 1, threads))
        differing, most = (one != more).double().mean(), (one - more).abs().max()
        print(
            f"{name} {width:g}, {size} px: 1 thread twice {'equal' if one.equal(again) else 'not'};"
            f" 1 and {threads}: {differing:.1%} of the weights differ, at most by {most:.1e}"
        )


if __name__ == "__main__":
    main()
