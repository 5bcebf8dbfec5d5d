"""A model fitted to a few labelled images of the hospital that it goes to."""

from __future__ import annotations

from dataclasses import replace

import torch

from federated.config.schema import Config
from federated.learning.batches import Images, round_batches
from federated.learning.compute import Compute
from federated.learning.network import network_of
from federated.learning.optimizers import learning_rate, make_optimizer
from federated.learning.terms import cross_entropy
from federated.learning.training import train_round
from federated.seeding import global_torch_seed, seed_for, torch_generator
from federated.unseen.models import State

EPOCHS = 10
"""Fixed, since nothing is left to choose their number by."""


def few_of(images: Images, count: int, site: str, seed: int) -> Images:
    """Return up to ``count`` images drawn by the seed, half of each class as far as there are."""
    order = torch.randperm(len(images), generator=torch_generator(seed, site, 0, "labelled"))
    labels = images.labels[order]
    ranks = [int((labels[:place] == label).sum()) for place, label in enumerate(labels)]
    chosen = order[torch.tensor(ranks).argsort(stable=True)[:count]]
    return Images(images.pixels[chosen.numpy()], images.labels[chosen], images.size)


def fine_tuned(
    state: State, images: Images, config: Config, site: str, seed: int, *, compute: Compute
) -> State:
    """Return a model after ten epochs on labelled images, at ``personalise.lr`` decayed to 0.

    Args:
        state: The model to begin with.
        images: The new hospital's labelled images.
        config: The method's configuration; no contrastive or proximal term is used.
        site: The new hospital's name.
        seed: The run's seed.
        compute: Device and precision.
    """
    network = network_of(config, seed).to(compute.device)
    network.load_state_dict(state)
    train = replace(config.train, lr=config.personalise.lr, local_epochs=1, max_steps=0)
    for epoch in range(1, EPOCHS + 1):
        lr = learning_rate(train, epoch, EPOCHS)
        generator = torch_generator(seed, site, epoch, "fine-tune")
        with global_torch_seed(seed_for(seed, site, epoch, "fine-tuned layers")):
            train_round(
                network,
                round_batches(images, train, generator, compute.device),
                terms=[
                    cross_entropy(train, images.labels, compute.device, config.data.class_count)
                ],
                optimizer=make_optimizer(list(network.parameters()), train, lr),
                clip_norm=train.clip_norm,
                compute=compute,
            )
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
