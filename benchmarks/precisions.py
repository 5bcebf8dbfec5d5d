"""Test AUC in fp32 and in bf16 on a phantom hospital, paired by seed.

python benchmarks/precisions.py --seeds 4
"""

import argparse
import statistics

import torch

from federated.config.images import Phantom
from federated.config.training import Train
from federated.learning.batches import Images, round_batches
from federated.learning.compute import Compute
from federated.learning.evaluation import predict
from federated.learning.metrics import classification_metrics
from federated.learning.models import build_model
from federated.learning.optimizers import make_optimizer
from federated.learning.terms import CrossEntropy
from federated.learning.training import train_round
from federated.phantom import phantom_site
from federated.seeding import torch_generator

CPU = torch.device("cpu")


def auc(seed: int, *, bf16: bool) -> float:
    """Return the test AUC of a width-0.25 network after six epochs on a phantom hospital."""
    compute = Compute(CPU, bf16=bf16)
    made = phantom_site(Phantom(patients=160, seed=seed), 0, 64)
    cut = 3 * len(made.labels) // 4  # patients come one after the other
    labels = torch.as_tensor(made.labels)
    fit, test = (Images(made.images[s], labels[s], 64) for s in (slice(cut), slice(cut, None)))
    model = build_model("covidnet", width=0.25, image_size=64, norm="batch", generator_seed=seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    train = Train(local_epochs=6)
    train_round(
        model,
        round_batches(fit, train, torch_generator(seed, "a", 1, "train"), CPU),
        terms=[CrossEntropy()],
        optimizer=make_optimizer(list(model.parameters()), train, 1e-3),
        clip_norm=train.clip_norm,
        compute=compute,
    )
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
    parser.add_argument("--seeds", type=int, default=4, help="2 or more")
    torch.set_num_threads(1)
    precisions(parser.parse_args().seeds)


if __name__ == "__main__":
    main()
