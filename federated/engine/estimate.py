"""What a run will take, from one timed batch of each network: for ``consilium run --dry-run``."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from federated.config.schema import Config
from federated.config.study import Study
from federated.data import SiteSummary
from federated.exchange.sharing import private_part
from federated.learning.batches import Images, round_batches, steps_of_round
from federated.learning.compute import Compute, device_for, uses_bf16
from federated.learning.evaluation import predict
from federated.learning.network import network_boundary, network_of
from federated.learning.optimizers import make_optimizer
from federated.learning.terms import cross_entropy
from federated.learning.training import train_round
from federated.learning.views import MOST_VIEWS, final_view
from federated.methods import rules_of
from federated.seeding import torch_generator

SPLITS = ("val", "test")

VERSIONS = 3
"""Versions of its private state that a site keeps."""


@dataclass(frozen=True)
class MethodEstimate:
    """What one method takes with one seed.

    Attributes:
        method: Its name.
        steps: Optimiser steps of all sites in all rounds, those of a second model included.
        looks: Images that are evaluated in all rounds and at the end, once for each time and view.
        seconds: Of one core.
        disk: Bytes of the vaults of all sites and of the server's checkpoint.
        sent: Bytes that one site sends and receives in a round, together.
    """

    method: str
    steps: int
    looks: int
    seconds: float
    disk: int
    sent: int


def estimates(study: Study, sites: Sequence[SiteSummary]) -> list[MethodEstimate]:
    """Return what each method of a study takes with one seed, on a machine like this one."""
    return [_estimate(name, config, sites) for name, config in study.by_method.items()]


def _estimate(method: str, config: Config, sites: Sequence[SiteSummary]) -> MethodEstimate:
    step, look = _timed(config)
    fits = rules_of(config).fits * config.rounds
    steps = steps_of(config, [sum(site.counts["train"]) for site in sites]) * fits
    looks = looks_of(config, {s: sum(sum(site.counts[s]) for site in sites) for s in SPLITS})
    model = network_of(config, 0)
    state, boundary = model.state_dict(), network_boundary(config, model)
    whole = sum(tensor.nbytes for tensor in state.values())
    private = sum(tensor.nbytes for tensor in private_part(state, boundary).values())
    disk = len(sites) * (VERSIONS * private + whole) + 2 * (whole - private)
    return MethodEstimate(
        method, steps, looks, steps * step + looks * look, disk, 2 * (whole - private)
    )


def steps_of(config: Config, counts: Sequence[int]) -> int:
    """Return how many optimiser steps a round takes, of all sites together.

    Args:
        config: Of the method; pooled training takes as many as its largest site needs.
        counts: Training images of each site.
    """
    steps = [steps_of_round(count, config.train) for count in counts]
    return max(steps) if config.train.pooled else sum(steps)


def looks_of(config: Config, counts: Mapping[str, int]) -> int:
    """Return how often any image is looked at to evaluate, in all rounds and at the end.

    Args:
        config: Of the method.
        counts: Images of all sites, by split.
    """
    rounds = range(1, config.rounds + 1)
    due = sum(config.eval.is_due(round, config.rounds) for round in rounds)
    in_a_round = counts["val"] + (counts["test"] if config.eval.test == "rounds" else 0)
    return due * in_a_round + (counts["val"] + counts["test"]) * looks_at_the_end(config)


def looks_at_the_end(config: Config) -> int:
    """Return how often an image is seen at the end: by each candidate, in each view."""
    candidates = 2 if config.personalise.epochs else 1
    return candidates * (MOST_VIEWS if final_view(config) == "crops" else 1)


def _timed(config: Config) -> tuple[float, float]:
    """Return the seconds of a training step, and of an evaluated image, the better of two tries."""
    device = device_for(config.engine.gpus)
    compute = Compute(device, uses_bf16(config.train.precision, device))
    torch.set_num_threads(config.engine.threads or 1)
    model, size = network_of(config, 0).to(device), config.data.image_size
    generator = torch_generator(0, "estimate", 0, "images")
    count = config.train.batch_size
    pixels = torch.randint(0, 256, (count, size, size), generator=generator, dtype=torch.uint8)
    images = Images(pixels.numpy(), torch.arange(count) % 2, size)
    terms = [cross_entropy(config.train, images.labels, device, config.data.class_count)]
    optimizer = make_optimizer(list(model.parameters()), config.train, 1e-6)

    def train() -> None:
        train_round(
            model,
            islice(round_batches(images, config.train, generator, device), 1),
            terms=terms,
            optimizer=optimizer,
            clip_norm=config.train.clip_norm,
            compute=compute,
        )

    def evaluate() -> None:
        predict(model, images, compute)

    train()  # the first pass finds kernels and memory
    return _best(train), _best(evaluate) / count


def _best(call: Callable[[], None]) -> float:
    tries = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        tries.append(time.perf_counter() - start)
    return min(tries)
