"""HarmoFL: images of one style, and weights that may be a little off (Jiang, Wang and Dou 2022).

AAAI 2022, arXiv 2112.10775. ``model.input = amplitude`` replaces the amplitude of each image by a
mean over all hospitals (amplitude normalisation); beside what FedAvg sends, the mean amplitude of a
hospital's images leaves, as ``weights/hospital_input.amplitude``. Here it is a running mean that is
averaged in each round as batch-norm statistics are; the published code averages it once, after
round 1, and replaces no frequency but 0. Each step of training follows the gradient at weights that
are moved uphill (weight perturbation):

    delta = alpha grad L(w) / ||grad L(w)||;   w <- w - lr grad L(w + delta)

with alpha = 0.05. So each step takes two passes over its batch, which running statistics see twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from federated.learning.batches import Batch
from federated.learning.compute import autocast
from federated.learning.evaluation import outputs
from federated.learning.terms import Contrast, Step
from federated.methods.seam import Outcome, Rules, SiteRound


def site(round: SiteRound, *, radius: float) -> Outcome:
    """Train by gradients at perturbed weights.

    Args:
        round: The round.
        radius: alpha, the length of the perturbation of all weights together.
    """
    # A memory is filled once, by the pass whose gradient is followed.
    first = [term for term in round.terms if not isinstance(term, Contrast)]
    parameters = [p for p in round.model.parameters() if p.requires_grad]
    seen: list[Batch] = []

    def batches() -> Iterator[Batch]:
        for batch in round.batches():
            seen[:] = [batch]
            yield batch

    def adjust() -> None:
        there = [p.detach().clone() for p in parameters]
        move_uphill(parameters, radius)
        backward(round, seen[0])
        with torch.no_grad():
            for parameter, before in zip(parameters, there, strict=True):
                parameter.copy_(before)

    return Outcome(replace(round, batches=batches).fit(terms=first, adjust=adjust))


@torch.no_grad()
def move_uphill(parameters: Sequence[nn.Parameter], radius: float) -> None:
    """Move parameters along their gradients, by ``radius`` in all, and forget the gradients."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.norm() for g in gradients]).norm()
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.add_(radius / (norm + 1e-12) * parameter.grad)
            parameter.grad = None


def backward(round: SiteRound, batch: Batch) -> None:
    """Fill the gradients of all terms of the loss where the weights are now."""
    with autocast(round.compute.device, bf16=round.compute.bf16):
        logits, embedding = outputs(round.model, batch.x)
    step = Step(batch.x, batch.labels, batch.ids, logits, embedding)
    losses = [term.weight * term(step) for term in round.terms]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]


def rules_with(radius: float = 0.05) -> Rules:
    """Return the rules with another length of the perturbation; 0: none."""
    return Rules(site=partial(site, radius=radius))


rules = rules_with()
