"""Local training in plain PyTorch. This file knows nothing of Flower, Ray or other hospitals.

Recipe (Wang, Liu and Dou, arXiv 2009.07652): cross-entropy + lambda x contrastive loss, Adam,
gradient norm clipped at 2, cosine schedule.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from federated.learning.batches import Batch
from federated.learning.compute import Compute, autocast
from federated.learning.evaluation import outputs
from federated.learning.terms import Step, Term


class DivergedError(Exception):
    """The loss of a step is not finite."""


@dataclass(frozen=True)
class Trained:
    """What a round of local training has to tell: means over its steps, and what it cost.

    Attributes:
        loss: All terms by their weights.
        terms: Each term without its weight, by name.
        gradient_norm: Before clipping.
        steps: Optimiser steps.
        examples: Images seen, counted once for each time.
    """

    loss: float
    terms: Mapping[str, float]
    gradient_norm: float
    steps: int
    examples: int


def train_round(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    terms: Sequence[Term],
    optimizer: torch.optim.Optimizer,
    clip_norm: float,
    compute: Compute,
    adjust: Callable[[], None] | None = None,
) -> Trained:
    """Train ``model`` in place, one optimiser step a batch.

    Args:
        model: The network.
        batches: At least one.
        terms: What the loss adds up, by their weights.
        optimizer: Of the network's parameters, its learning rate set.
        clip_norm: Norm that the whole gradient is clipped to; 0: it is not.
        compute: Device and precision.
        adjust: Called between backward and clipping; changes gradients in place.

    Raises:
        DivergedError: the loss is not finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    totals = torch.zeros(len(terms) + 2, dtype=torch.float64)
    steps = examples = 0
    model.train()
    for x, labels, ids in batches:
        with autocast(compute.device, bf16=compute.bf16):
            logits, embedding = outputs(model, x)
        step = Step(x, labels, ids, logits, embedding)
        losses = [term(step) for term in terms]
        loss = torch.zeros(())
        loss = sum((term.weight * part for term, part in zip(terms, losses, strict=True)), loss)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if adjust is not None:
            adjust()
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm or math.inf)
        optimizer.step()
        measured = torch.stack([loss, *losses, norm]).detach().cpu().double()
        if not measured.isfinite().all():
            raise DivergedError(f"the loss is not finite in step {steps + 1} of the round")
        totals += measured
        steps, examples = steps + 1, examples + len(ids)
    loss_mean, *means, norm_mean = (float(total) / steps for total in totals)
    by_name = {term.name: mean for term, mean in zip(terms, means, strict=True)}
    return Trained(loss_mean, by_name, norm_mean, steps, examples)
