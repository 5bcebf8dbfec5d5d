"""What images would give away: gradients and batch statistics, many of them side by side.

Each lane is an update of its own: B images and their classes, from which the gradient of the mean
cross-entropy and the statistics of each norm's batch are computed under ``vmap``.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, vmap
from torch.nn import functional as F

from federated.audit.updating import Pairs, norms_with_statistics
from federated.learning.evaluation import outputs
from federated.learning.optimizers import Adam

SMOOTH = 1e-2
"""Weight of the images' total variation."""
OF_STATISTICS = 1e-2
"""Weight of the distance to the batch statistics that are seen."""
STEP = 0.03
"""First step of the search, in greys from 0 to 1; it falls to 0."""
Given = Callable[[Tensor, Tensor], tuple[dict[str, Tensor], Pairs]]


def given_away(network: nn.Module, names: Sequence[str], *, by_batch: bool) -> Given:
    """Return a function from inputs (K, B, 3, S, S) and classes (K, B) to what they give away.

    That is the gradient by name, (K, ...), and mean and variance, (K, C), of each norm's batch.

    Args:
        network: As whoever computes it has it.
        names: Of parameters.
        by_batch: Whether norms use the statistics of the batch, as in training; else their own.
    """
    network = copy.deepcopy(network)
    norms = [norm for _, norm in norms_with_statistics(network)]
    network.train(by_batch)
    if by_batch:
        replace_all_batch_norm_modules_(network)
    held = {n: p.detach() for n, p in network.named_parameters()}
    held |= dict(network.named_buffers())
    chosen, model = {n: held[n] for n in names}, _Logits(network)

    def loss(weights: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> tuple[Tensor, Pairs]:
        state = {f"network.{n}": t for n, t in {**held, **weights}.items()}
        with _batches_of(norms) as pairs:
            logits = functional_call(model, state, (x,))
        return F.cross_entropy(logits, labels), pairs

    def lane(x: Tensor, labels: Tensor) -> Any:
        return grad(loss, has_aux=True)(chosen, x, labels)

    return vmap(lane, randomness="different")


@contextmanager
def _batches_of(norms: Sequence[nn.Module]) -> Iterator[Pairs]:
    """Yield a list that fills with mean and variance of what each norm is given."""
    pairs: Pairs = []

    def note(_: nn.Module, given: tuple[Any, ...]) -> None:
        by_channel = given[0].transpose(0, 1).flatten(1)
        correction = 1 if by_channel.shape[1] > 1 else 0
        variance, mean = torch.var_mean(by_channel, dim=1, correction=correction)
        pairs.append((mean, variance))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    try:
        yield pairs
    finally:
        for hook in hooks:
            hook.remove()


class _Logits(nn.Module):
    """A network of which only the logits are looked at."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return outputs(self.network, x)[0]


def apart(found: Pairs, seen: Pairs) -> Tensor:
    """Return how far statistics are from those seen, over the norms' mean; lanes stay."""
    parts = [
        ((mean - m).square() / (v + 1e-3)).mean(-1) + ((var - v) / (v + 1e-3)).square().mean(-1)
        for (mean, var), (m, v) in zip(found, seen, strict=True)
    ]
    return torch.stack(parts).mean(dim=0)


def far(gradients: Mapping[str, Tensor], seen: Mapping[str, Tensor]) -> Tensor:
    """Return one minus the cosine of updates, lane by lane, (K,)."""
    dot, ours, theirs = (
        torch.stack([(a[n] * b[n]).flatten(1).sum(1) for n in seen]).sum(0)
        for a, b in ((gradients, seen), (gradients, gradients), (seen, seen))
    )
    return 1 - dot / (ours * theirs).clamp(min=1e-30).sqrt()


@dataclass(frozen=True)
class Seen:
    """What an attacker has of K updates, each of B images.

    Attributes:
        network: As he holds it.
        by_batch: Whether its norms use the statistics of the batch.
        change: By name of a parameter, (K, ...).
        statistics: Of each norm's batch, (K, C); empty if he does not see them.
        labels: (K, B) classes, which he is given.
    """

    network: nn.Module
    by_batch: bool
    change: Mapping[str, Tensor]
    statistics: Pairs
    labels: Tensor


def reconstructed(
    seen: Seen, begin: Tensor, normalise: Callable[[Tensor], Tensor], steps: int
) -> Tensor:
    """Return images that explain what is seen, (K, B, S, S) greys from 0 to 1.

    They are changed until their gradient points where the update does and they are smooth
    (Geiping et al., NeurIPS 2020, arXiv 2003.14053), and until their statistics are those seen
    (Yin et al., CVPR 2021, arXiv 2104.07586).

    Args:
        seen: What the attacker has.
        begin: (K, B, S, S) greys that the search begins with.
        normalise: From greys to inputs, (K, B, 3, S, S).
        steps: Of the search.
    """
    give = given_away(seen.network, list(seen.change), by_batch=seen.by_batch)

    def unlike(x: Tensor) -> Tensor:
        gradients, statistics = give(normalise(x), seen.labels)
        loss = far(gradients, seen.change)
        if seen.statistics:
            loss = loss + OF_STATISTICS * apart(statistics, seen.statistics)
        return loss

    return searched(unlike, begin, steps)


def searched(unlike: Callable[[Tensor], Tensor], begin: Tensor, steps: int) -> Tensor:
    """Return smooth images that a loss is small of, by signs of gradients.

    Args:
        unlike: From (K, ..., S, S) greys to the loss of each of the K lanes, (K,).
        begin: (K, ..., S, S) greys from 0 to 1 that the search begins with.
        steps: Of the search.
    """
    x = begin.clone().requires_grad_(True)
    optimizer = Adam([x], lr=STEP)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = STEP * (1 - step / steps)
        loss = unlike(x) + SMOOTH * total_variation(x)
        (slope,) = torch.autograd.grad(loss.sum(), x)
        x.grad = slope.sign()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return x.detach()


def total_variation(x: Tensor) -> Tensor:
    """Return the mean step between neighbours, lane by lane, (K,) of (K, B, S, S)."""
    down, right = x.diff(dim=-2).abs(), x.diff(dim=-1).abs()
    return down.flatten(1).mean(1) + right.flatten(1).mean(1)
