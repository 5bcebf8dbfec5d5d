"""Local training in plain PyTorch. This file knows nothing of Flower, Ray or other hospitals.

Recipe (Wang, Liu and Dou, arXiv 2009.07652): cross-entropy + lambda x contrastive loss, Adam,
gradient norm clipped at 2, cosine schedule.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.schema import Contrast, Train
from federated.errors import UserError
from federated.learning.batches import Images, batch_slices, epoch_order, load_batch
from federated.learning.compute import Compute, autocast
from federated.learning.evaluation import outputs
from federated.learning.losses import moon, nt_xent, proximal, sup_con
from federated.learning.memory import ContrastiveMemory, MemoryView
from federated.learning.optimizers import SGD, Adam


class DivergedError(Exception):
    """The loss of a step is not finite."""


@dataclass(frozen=True)
class Trained:
    """What a round of local training has to tell: means over its steps, and what it cost."""

    loss: float
    cross_entropy: float
    contrastive: float
    gradient_norm: float
    steps: int
    examples: int


def learning_rate(train: Train, round: int, rounds: int) -> float:
    """Return the learning rate of a round, 1-based: (1 + cos(pi (round - 1) / rounds)) / 2 x lr."""
    if train.schedule == "constant":
        return train.lr
    return (1 + math.cos(math.pi * (round - 1) / rounds)) / 2 * train.lr


def make_optimizer(
    parameters: Sequence[nn.Parameter], train: Train, lr: float
) -> torch.optim.Optimizer:
    """Return the local optimiser."""
    if train.optimizer == "sgd":
        return SGD(parameters, lr=lr, momentum=train.momentum, weight_decay=train.weight_decay)
    betas = (train.momentum, 0.999)
    return Adam(parameters, lr=lr, betas=betas, weight_decay=train.weight_decay, fused=True)


def class_weights(labels: Tensor) -> Tensor:
    """Return (K,) weights inverse to class frequency, 1 on average over the images."""
    counts = torch.bincount(labels, minlength=2).clamp(min=1).float()
    return len(labels) / (len(counts) * counts)


def contrastive_loss(
    contrast: Contrast, others: Sequence[nn.Module]
) -> Callable[..., Tensor] | None:
    """Return ``loss(z, labels, ids, x, memory)`` of the configured objective, or None.

    Args:
        contrast: The objective and its temperature.
        others: For MOON: the server's model and the site's previous one, in evaluation mode.
    """
    if contrast.objective == "none" or contrast.weight == 0:
        return None
    objective = {"nt-xent": nt_xent, "sup-con": sup_con}.get(contrast.objective)

    def loss(
        z: Tensor | None, labels: Tensor, ids: Tensor, x: Tensor, memory: MemoryView | None
    ) -> Tensor:
        if z is None:
            raise UserError(
                "contrast.objective needs an embedding: let the network's forward return "
                "(logits, embedding), or set contrast.objective = none."
            )
        if objective is not None:
            return objective(z, labels, ids, temperature=contrast.temperature, memory=memory)
        with torch.no_grad():
            anchors = [embedding for _, embedding in (outputs(other, x) for other in others)]
        z_server, z_previous = (anchor for anchor in anchors if anchor is not None)
        return moon(z, z_server, z_previous, temperature=contrast.temperature)

    return loss


def train_round(
    model: nn.Module,
    images: Images,
    *,
    train: Train,
    contrast: Contrast,
    lr: float,
    round: int,
    generator: torch.Generator,
    compute: Compute,
    memory: ContrastiveMemory | None = None,
    others: Sequence[nn.Module] = (),
    optimizer: torch.optim.Optimizer | None = None,
) -> tuple[Trained, ContrastiveMemory | None]:
    """Train ``model`` in place for one round of ``train.local_epochs``.

    Args:
        model: The network; its weights on entry are the reference of the proximal term.
        images: The training split.
        train: Batch size, optimiser and so on.
        contrast: The contrastive objective.
        lr: Learning rate of this round.
        round: 1-based; marks memory entries and decides whether the memory is warm.
        generator: CPU generator of batch order and augmentation.
        compute: Device and precision.
        memory: The site's contrastive memory so far; None if it has none yet.
        others: Server's and previous model for MOON.
        optimizer: One with state to keep; by default a new one.

    Returns:
        What was measured, and the memory with this round's embeddings in it (None without one).

    Raises:
        DivergedError: the loss is not finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer or make_optimizer(parameters, train, lr)
    for group in optimizer.param_groups:
        group["lr"] = lr
    reference = [p.detach().clone() for p in parameters] if train.proximal_mu else []
    weights = class_weights(images.labels).to(compute.device) if train.class_weights else None
    contrastive = contrastive_loss(contrast, others)
    is_warm = round > contrast.warmup_rounds
    totals = torch.zeros(4, dtype=torch.float64)
    steps = examples = 0
    model.train()
    for _ in range(train.local_epochs):
        order = epoch_order(images.labels.numpy(), train.sampling, generator)
        for batch in batch_slices(len(order), train.batch_size):
            if train.max_steps and steps == train.max_steps:
                break
            ids = order[batch]
            x, y = load_batch(images, ids, compute.device, generator if train.augment else None)
            with autocast(compute.device, bf16=compute.bf16):
                logits, z = outputs(model, x)
            cross_entropy = F.cross_entropy(logits, y, weight=weights)
            contrast_term = logits.new_zeros(())
            if contrastive is not None:
                seen = memory.view() if memory and is_warm else None
                contrast_term = contrastive(z, y, ids, x, seen)
            loss = cross_entropy + contrast.weight * contrast_term
            if train.proximal_mu:
                loss = loss + train.proximal_mu * proximal(parameters, reference)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(parameters, train.clip_norm or math.inf)
            optimizer.step()
            if contrast.memory_size and z is not None:
                if memory is None:
                    empty = ContrastiveMemory.empty
                    memory = empty(contrast.memory_size, z.shape[1], device=compute.device)
                memory = memory.push(z, y, ids, round=round)
            terms = torch.stack([loss, cross_entropy, contrast_term, norm]).detach().cpu().double()
            if not terms.isfinite().all():
                raise DivergedError(f"the loss is not finite in step {steps + 1} of round {round}")
            totals += terms
            steps, examples = steps + 1, examples + len(ids)
    means = (float(total) / steps for total in totals)
    return Trained(next(means), next(means), next(means), next(means), steps, examples), memory
