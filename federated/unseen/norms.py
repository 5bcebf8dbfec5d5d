"""Which batch norm a hospital gets that no model was trained at: four policies.

``mean``: of all sites' private tensors. ``nearest``: those of the site whose statistics the new
images are closest to. ``re-estimated``: the mean with statistics re-estimated on the new hospital's
own images, no label needed. ``own`` needs no policy: a member's model as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federated.config.schema import Config
from federated.exchange.norms import holds_statistics
from federated.learning.batches import Images
from federated.learning.compute import Compute
from federated.learning.evaluation import recalibrate
from federated.learning.network import network_of
from federated.seeding import torch_generator
from federated.unseen.models import State, network_with

POLICIES = ("mean", "nearest", "re-estimated")


@dataclass(frozen=True)
class Newcomer:
    """A hospital that the federation has never seen.

    Attributes:
        name: Its name.
        unlabelled: Images to estimate statistics on; their labels are not read.
    """

    name: str
    unlabelled: Images


def state_by(
    policy: str,
    states: Mapping[str, State],
    newcomer: Newcomer,
    config: Config,
    seed: int,
    *,
    compute: Compute,
) -> State:
    """Return the model that a newcomer gets.

    Args:
        policy: One of ``POLICIES``.
        states: Each site's whole model, all of one round.
        newcomer: Who it is for.
        config: The method's configuration.
        seed: The run's seed.
        compute: Device and precision.
    """
    if policy == "nearest":
        return dict(states[nearest(states, newcomer, config, seed, compute=compute)])
    mean = mean_state(states)
    return mean if policy == "mean" else re_estimated(mean, newcomer, config, seed, compute=compute)


def mean_state(states: Mapping[str, State]) -> State:
    """Return the unweighted mean over sites of every tensor; a counter is that of the first."""
    first, *others = states.values()
    mean = {}
    for name, tensor in first.items():
        if tensor.is_floating_point():
            stack = torch.stack([tensor, *(other[name] for other in others)])
            mean[name] = stack.double().mean(dim=0).to(tensor.dtype)
        else:
            mean[name] = tensor.clone()
    return mean


def re_estimated(
    state: State, newcomer: Newcomer, config: Config, seed: int, *, compute: Compute
) -> State:
    """Return a model with its norms' running statistics of the newcomer's unlabelled images."""
    network = network_of(config, seed).to(compute.device)
    network.load_state_dict(state)
    recalibrate(
        network,
        newcomer.unlabelled,
        train=config.train,
        limit=config.bn.recalibration_images,
        generator=torch_generator(seed, newcomer.name, 0, "unseen"),
        compute=compute,
    )
    return {name: tensor.cpu().clone() for name, tensor in network.state_dict().items()}


def nearest(
    states: Mapping[str, State],
    newcomer: Newcomer,
    config: Config,
    seed: int,
    *,
    compute: Compute,
) -> str:
    """Return the site whose running statistics change least when re-estimated on the new images."""
    moved = {
        site: distance(
            network_with(config, seed, state),
            network_with(
                config, seed, re_estimated(state, newcomer, config, seed, compute=compute)
            ),
        )
        for site, state in states.items()
    }
    return min(moved, key=lambda site: moved[site])


def distance(one: nn.Module, other: nn.Module) -> float:
    """Return how far the running statistics of two models of one network are apart.

    The mean over norms and channels of the squared 2-Wasserstein distance between the channel's two
    normal distributions, in units of the first one's variance; 0 for a network without any.
    """
    pairs = [
        (_statistics(a), _statistics(b))
        for a, b in zip(one.modules(), other.modules(), strict=True)
        if holds_statistics(a) and "running_mean" in a.state_dict()
    ]
    gaps = []
    for (mean, variance), (other_mean, other_variance) in pairs:
        squared = (mean - other_mean) ** 2 + (variance.sqrt() - other_variance.sqrt()) ** 2
        gaps.append(float((squared / (variance + 1e-12)).mean()))
    return sum(gaps) / len(gaps) if gaps else 0.0


def _statistics(norm: nn.Module) -> tuple[Tensor, Tensor]:
    state = norm.state_dict()
    return state["running_mean"].double(), state["running_var"].double()
