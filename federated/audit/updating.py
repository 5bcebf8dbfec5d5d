"""A site's update, made again from the weights of the run's last round with the run's own training.

The run itself keeps no site's update: the server has added them up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federated.audit.subject import CPU, Subject
from federated.dp.stream import Stream, derived, secret_of_seed
from federated.dp.updates import private_update
from federated.exchange.norms import holds_statistics
from federated.exchange.sharing import WEIGHTS, as_group, group
from federated.learning.batches import Batch
from federated.learning.memory import ContrastiveMemory
from federated.learning.optimizers import SGD, make_optimizer
from federated.learning.terms import Term, contrast_of_embeddings, cross_entropy
from federated.learning.training import train_round
from federated.unseen.models import State

Pairs = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Update:
    """What training did to a network.

    Attributes:
        change: By name of a parameter, turned to the side of the gradient: before minus after.
        statistics: Mean and variance of the last batch at each norm, as its running statistics
            give them away: (new - (1 - m) old) / m. Exact after one step, else a mixture.
    """

    change: dict[str, Tensor]
    statistics: Pairs


def update_of(
    subject: Subject,
    batches: Iterable[Batch],
    *,
    as_run: bool,
    number: int = 0,
    begin: State | None = None,
) -> Update:
    """Return the update of a hospital that trained on some batches.

    The loss has the run's terms, contrast with the hospital's own memory included.

    Args:
        subject: Whose network, private layers and memory it begins with.
        batches: What it trains on.
        as_run: With the run's optimiser, clipping and noise; else by plain gradient steps of the
            same learning rate, which tell an attacker more.
        number: Of the update: its noise is its own.
        begin: What an attacker begins with who makes an update himself; he has no memory. None:
            what the hospital begins with.
    """
    network, config = subject.network(begin or subject.last), subject.config
    before = {n: t.clone() for n, t in network.state_dict().items()}
    parameters, train = list(network.parameters()), config.train
    optimizer = make_optimizer(parameters, train, train.lr) if as_run else SGD(parameters, train.lr)
    train_round(
        network,
        batches,
        terms=_terms(subject, None if begin else subject.memory()),
        optimizer=optimizer,
        clip_norm=train.clip_norm if as_run else 0,
        compute=CPU,
    )
    after = network.state_dict()
    if as_run and config.privacy.unit == "site":
        after = {**after, **_protected(subject, before, after, number)}
    change = {n: before[n] - after[n] for n, _ in network.named_parameters()}
    return Update(change, _batch_statistics(network, before, after))


def _terms(subject: Subject, memory: ContrastiveMemory | None) -> list[Term]:
    config = subject.config
    labels = torch.from_numpy(subject.data.train.labels.copy())
    terms: list[Term] = [cross_entropy(config.train, labels, CPU.device)]
    return terms + contrast_of_embeddings(config.contrast, config.rounds, memory, is_warm=True)


def _protected(
    subject: Subject, before: dict[str, Tensor], after: dict[str, Tensor], number: int
) -> dict[str, Tensor]:
    """Return what leaves in place of the shared tensors: clipped and noised as the run is."""
    privacy, names = subject.config.privacy, subject.boundary.shared_names
    key = derived(secret_of_seed(subject.seed), subject.site, "audit", number)
    tensors = private_update(
        as_group({n: after[n] for n in names}, WEIGHTS),
        as_group({n: before[n] for n in names}, WEIGHTS),
        clip=privacy.clip,
        deviation=privacy.noise * privacy.clip if privacy.where == "site" else 0.0,
        stream=Stream(key),
    )
    return group(tensors, WEIGHTS)


def norms_with_statistics(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the norms of a network that keep running statistics, with their names."""
    return [
        (name, norm)
        for name, norm in network.named_modules()
        if holds_statistics(norm) and isinstance(getattr(norm, "momentum", None), float)
    ]


def _batch_statistics(
    network: nn.Module, before: dict[str, Tensor], after: dict[str, Tensor]
) -> Pairs:
    found = []
    for path, norm in norms_with_statistics(network):
        m = float(norm.momentum)  # type: ignore[arg-type]
        mean, variance = (
            (after[name] - (1 - m) * before[name]) / m
            for name in (f"{path}.running_mean", f"{path}.running_var")
        )
        found.append((mean, variance))
    return found


def batches_of(inputs: Tensor, labels: Tensor, steps: int) -> Sequence[Batch]:
    """Return one batch of images as often as there are steps."""
    ids = torch.arange(len(labels))
    return [Batch(inputs, labels, ids)] * steps
