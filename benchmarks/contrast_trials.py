"""Forms of the contrastive memory that no setting has, tried on validation images.

python benchmarks/contrast_trials.py --covid-ct PATH --sars-cov-2 PATH [--seeds 3] [--write FILE]

The plain loop ``rounds`` of server_trials.py, batch-norm statistics re-estimated, with:

* ``none``: no contrast; it has every digit of ``none`` in configs/studies/contrast.toml.
* ``labels``: SupCon, lambda 0.1, tau 0.5, memory of 512, as ``labels`` there.
* ``up``, ``down``: NT-Xent as published (tau 0.05, memory of 512), lambda from 0 to 1 or from 1 to
  0 over the rounds.
* ``encoder``: ``labels``, with what is remembered made by an encoder whose weights follow the
  model's by 1 in 100 a step (MoCo, He et al., arXiv 1911.05722). Nothing is dropped for its age.
* ``balanced``: ``labels``, with a memory of 256 for each class.

Told is the AUC on validation images, mean of the last five rounds of even number. Test images are
not looked at.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from server_trials import SITES, Hospital, meet, told, tried
from torch import Tensor, nn

from federated.config.schema import Config
from federated.learning.evaluation import outputs
from federated.learning.losses import nt_xent, sup_con
from federated.learning.memory import ContrastiveMemory, MemoryView
from federated.learning.terms import Contrast, Step, Term, embedding_of

WAYS = ("none", "labels", "up", "down", "encoder", "balanced")
SIZE = 512
FOLLOWS = 0.01


@dataclass
class Balanced:
    """SupCon against a memory for each class, of half the size."""

    round: int
    memories: dict[int, ContrastiveMemory]
    name: str = "contrastive"
    weight: float = 0.1

    def __call__(self, step: Step) -> Tensor:
        """Return the loss, then remember the batch."""
        z, seen = embedding_of(step), None
        if self.memories and self.round > 1:
            views = [memory.view() for memory in self.memories.values()]
            seen = MemoryView(*(torch.cat(column) for column in zip(*views, strict=True)))
        loss = sup_con(z, step.labels, step.ids, temperature=0.5, memory=seen)
        for label in map(int, step.labels.unique()):
            mine = step.labels == label
            memory = self.memories.get(label, ContrastiveMemory.empty(SIZE // 2, z.shape[1]))
            self.memories[label] = memory.push(
                z[mine], step.labels[mine], step.ids[mine], round=self.round
            )
        return loss


@dataclass
class Encoder:
    """SupCon against what a slower copy of the model has made of earlier batches."""

    round: int
    model: nn.Module
    slow: nn.Module
    memory: ContrastiveMemory | None
    name: str = "contrastive"
    weight: float = 0.1

    def __call__(self, step: Step) -> Tensor:
        """Return the loss, have the copy follow, and remember what it makes of the batch."""
        z = embedding_of(step)
        seen = self.memory.view() if self.memory and self.round > 1 else None
        loss = sup_con(z, step.labels, step.ids, temperature=0.5, memory=seen)
        with torch.no_grad():
            pairs = zip(self.slow.parameters(), self.model.parameters(), strict=True)
            for follower, weight in pairs:
                follower.lerp_(weight, FOLLOWS)
            keys = outputs(self.slow, step.x)[1]
        if keys is None:
            raise TypeError("the network has no embedding")
        memory = self.memory or ContrastiveMemory.empty(SIZE, keys.shape[1])
        self.memory = memory.push(keys, step.labels, step.ids, round=self.round)
        return loss


@dataclass
class Contrasting(Hospital):
    """A hospital with a form of contrast, and what it remembers from round to round."""

    config: Config
    name: str
    seed: int
    way: str
    contrast: Contrast | Balanced | Encoder | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__init__(self.config, self.name, self.seed)
        self.slow = copy.deepcopy(self.model).train()

    def terms(self, round: int) -> list[Term]:
        """Return cross-entropy and the contrast of a round."""
        self.contrast = self.contrast_of(round)
        return super().terms(round) + ([self.contrast] if self.contrast else [])

    def contrast_of(self, round: int) -> Contrast | Balanced | Encoder | None:
        """Return the contrast of a round, with what is remembered that is fresh enough."""
        before = self.contrast
        if self.way == "none":
            return None
        if self.way == "balanced":
            kept = before.memories if isinstance(before, Balanced) else {}
            return Balanced(round, {y: m.drop_older_than(round, 1) for y, m in kept.items()})
        if self.way == "encoder":
            memory = before.memory if isinstance(before, Encoder) else None
            return Encoder(round, self.model, self.slow, memory)
        memory = before.memory if isinstance(before, Contrast) else None
        if memory is not None:
            memory = memory.drop_older_than(round, 1)
        if self.way == "labels":
            return Contrast(sup_con, 0.1, 0.5, SIZE, round, round > 1, memory)
        done = (round - 1) / (self.config.rounds - 1)
        weight = done if self.way == "up" else 1 - done
        return Contrast(nt_xent, weight, 0.05, SIZE, round, round > 1, memory)


def course(config: Config, way: str, seed: int) -> Iterator[tuple[str, int, str, float]]:
    """Yield site, round, look and AUC of a run."""
    hospitals = [Contrasting(config, name, seed, way) for name in SITES]
    for round in range(1, config.rounds + 1):
        for hospital in hospitals:
            hospital.fit(round)
        meet(hospitals)
        if round > config.rounds - 10 and round % 2 == 0:
            for hospital in hospitals:
                area = hospital.area(hospital.model.state_dict(), round)
                yield hospital.name, round, "re-estimated", area


if __name__ == "__main__":
    told(tried(__doc__.splitlines()[0], WAYS, course), ("none", "re-estimated"))
