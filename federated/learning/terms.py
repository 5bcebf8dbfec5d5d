"""What a step of training adds up to its loss: terms, each from the tensors of a step to a loss.

A new loss is a function in ``losses`` and a term here; ``OBJECTIVES`` names those that a setting
chooses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config import training
from federated.errors import UserError
from federated.learning.compute import Compute, autocast
from federated.learning.evaluation import outputs
from federated.learning.losses import moon, nt_xent, proximal, sup_con
from federated.learning.memory import ContrastiveMemory

OBJECTIVES: dict[str, Callable[..., Tensor]] = {"nt-xent": nt_xent, "sup-con": sup_con}
"""Contrasts of embeddings by the name that ``contrast.objective`` has for them."""


@dataclass(frozen=True)
class Step:
    """One batch of B images after its forward pass.

    Attributes:
        x: What the network was given: (B, 3, S, S), or a list of such, one a site, when pooled.
        labels: (B,) classes.
        ids: (B,) numbers of the images.
        logits: (B, K) float32.
        embedding: (B, d) float32, not normalised; None if the network has none.
    """

    x: Any
    labels: Tensor
    ids: Tensor
    logits: Tensor
    embedding: Tensor | None


class Term(Protocol):
    """A part of the loss.

    Attributes:
        name: Under which its mean over the steps of a round is reported.
        weight: Its factor in the loss; what is reported has none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def weight(self) -> float: ...  # noqa: D102

    def __call__(self, step: Step) -> Tensor:
        """Return a scalar."""
        ...


def class_weights(labels: Tensor, classes: int = 2) -> Tensor:
    """Return (K,) weights inverse to class frequency, 1 on average over the images."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1).float()
    return len(labels) / (len(counts) * counts)


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy, each class weighted if so configured."""

    class_weights: Tensor | None = None
    name: ClassVar[str] = "cross_entropy"
    weight: ClassVar[float] = 1.0

    def __call__(self, step: Step) -> Tensor:
        """Return the mean over the batch."""
        return F.cross_entropy(step.logits, step.labels, weight=self.class_weights)


def cross_entropy(
    train: training.Train, labels: Tensor, device: torch.device, classes: int = 2
) -> CrossEntropy:
    """Return the configured cross-entropy for a site with these training labels."""
    weights = class_weights(labels, classes).to(device) if train.class_weights else None
    return CrossEntropy(weights)


@dataclass
class Contrast:
    """Contrast of embeddings within the batch and with the site's memory, which it fills.

    Attributes:
        objective: One of ``OBJECTIVES``.
        weight: lambda.
        temperature: tau.
        memory_size: Embeddings kept; 0: no memory.
        round: Marks new entries of the memory.
        is_warm: Whether the memory takes part in the loss yet.
        memory: As it is by now; None as long as it is empty.
    """

    objective: Callable[..., Tensor]
    weight: float
    temperature: float
    memory_size: int = 0
    round: int = 0
    is_warm: bool = False
    memory: ContrastiveMemory | None = None
    name: ClassVar[str] = "contrastive"

    def __call__(self, step: Step) -> Tensor:
        """Return the loss against batch and memory, then remember the batch.

        Raises:
            UserError: the network has no embedding.
        """
        z = embedding_of(step)
        seen = self.memory.view() if self.memory and self.is_warm else None
        loss = self.objective(z, step.labels, step.ids, temperature=self.temperature, memory=seen)
        if self.memory_size:
            memory = self.memory
            if memory is None:
                memory = ContrastiveMemory.empty(self.memory_size, z.shape[1], device=z.device)
            self.memory = memory.push(z, step.labels, step.ids, round=self.round)
        return loss


def embedding_of(step: Step) -> Tensor:
    """Return the step's embedding.

    Raises:
        UserError: there is none.
    """
    if step.embedding is None:
        raise UserError(
            "contrast.objective needs an embedding: let the network's forward return "
            "(logits, embedding), or set contrast.objective = none."
        )
    return step.embedding


def contrast_of_embeddings(
    contrast: training.Contrast,
    round: int,
    memory: ContrastiveMemory | None = None,
    *,
    is_warm: bool = False,
) -> list[Contrast]:
    """Return the configured contrast as a list of one, or none if it is of models or there is none.

    Args:
        contrast: The settings.
        round: 1-based; decides whether the memory has warmed up.
        memory: As it was so far.
        is_warm: Whether it need not warm up.
    """
    if contrast.objective not in OBJECTIVES or contrast.weight == 0:
        return []
    is_warm = is_warm or round > contrast.warmup_rounds
    objective = OBJECTIVES[contrast.objective]
    term = Contrast(objective, contrast.weight, contrast.temperature, contrast.memory_size)
    term.round, term.is_warm, term.memory = round, is_warm, memory
    return [term]


@dataclass(frozen=True)
class ModelContrast:
    """MOON's contrast of the model in training with the server's and the site's previous one.

    Both are frozen, in evaluation mode, and computed in the precision of the model in training
    (Li et al., CVPR 2021, arXiv 2103.16257).
    """

    server: nn.Module
    previous: nn.Module
    weight: float
    temperature: float
    compute: Compute
    name: ClassVar[str] = "contrastive"

    def __call__(self, step: Step) -> Tensor:
        """Return the mean over the batch.

        Raises:
            UserError: the network has no embedding.
        """
        z = embedding_of(step)
        with torch.no_grad(), autocast(self.compute.device, bf16=self.compute.bf16):
            anchors = [outputs(model, step.x)[1] for model in (self.server, self.previous)]
        z_server, z_previous = (anchor for anchor in anchors if anchor is not None)
        return moon(z, z_server, z_previous, temperature=self.temperature)


class Proximal:
    """A pull towards weights as they are now (Li et al., MLSys 2020, arXiv 1812.06127).

    Args:
        weight: mu.
        parameters: The weights in training.
        reference: What they are pulled to; None: themselves, as they are now.
    """

    name = "proximal"

    def __init__(
        self,
        weight: float,
        parameters: Iterable[Tensor],
        reference: Iterable[Tensor] | None = None,
    ) -> None:
        self.weight = weight
        self._parameters = list(parameters)
        anchors = self._parameters if reference is None else reference
        self._reference = [tensor.detach().clone() for tensor in anchors]

    def __call__(self, step: Step) -> Tensor:
        """Return half the squared distance."""
        return proximal(self._parameters, self._reference)
