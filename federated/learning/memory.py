"""The private contrastive memory of a site: its latest embeddings, first in, first out.

The other sites' embeddings are never in a client's batch, so a small batch has few negatives;
the memory adds the site's own recent ones (the queue of MoCo, He et al., CVPR 2020, without its
momentum encoder). It belongs to the site: it is saved with the site and nothing of it is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# A projection that ends in ReLU can return a zero vector, which has no direction and stays zero.
# The bound is that of torch's cosine_similarity.
EPS = 1e-8


def unit(embeddings: Tensor) -> Tensor:
    """Return the rows scaled to length 1, in float32 whatever came in.

    Args:
        embeddings: (n, d), any floating dtype. A row shorter than 1e-8 is not stretched to 1.

    Returns:
        (n, d) float32, differentiable.
    """
    return F.normalize(embeddings.float(), dim=1, eps=EPS)


class MemoryView(NamedTuple):
    """What a loss sees of a memory of M entries: constants that no gradient reaches."""

    embeddings: Tensor  # (M, d) float32, rows of length 1
    labels: Tensor  # (M,) int64
    ids: Tensor  # (M,) int64, the image that each embedding came from


@dataclass(frozen=True, eq=False)
class ContrastiveMemory:
    """At most ``size`` embeddings, oldest first; every operation returns a new memory.

    The same image may be held more than once, from different rounds or repeats within an epoch.
    Note that ``bool(memory)`` is False when it is empty, as for any container.

    Attributes:
        size: most entries that it holds; 0 is a memory that is always empty.
        embeddings: (n, d) float32, rows of length 1, detached.
        labels: (n,) int64, the class of each entry.
        ids: (n,) int64, the image of each entry.
        rounds: (n,) int64, the round in which each embedding was made.

    Raises:
        ValueError: if the four tensors differ in length, or hold more than ``size`` entries.
    """

    size: int
    embeddings: Tensor
    labels: Tensor
    ids: Tensor
    rounds: Tensor

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        for name in ("labels", "ids", "rounds"):
            shape = tuple(getattr(self, name).shape)
            if shape != (n,):
                raise ValueError(f"{n} embeddings need {name} of shape ({n},), got {shape}")
        if n > self.size:
            raise ValueError(f"a memory of size {self.size} cannot hold {n} embeddings")

    @classmethod
    def empty(cls, size: int, dim: int, *, device: torch.device | str = "cpu") -> ContrastiveMemory:
        """Return a memory for ``size`` embeddings of ``dim`` numbers, with none in it."""
        none = torch.empty(0, dtype=torch.int64, device=device)
        return cls(size, torch.empty(0, dim, device=device), none, none, none)

    @classmethod
    def from_state(cls, size: int, state: Mapping[str, Tensor]) -> ContrastiveMemory:
        """Return the memory whose :meth:`state` this is, to the bit.

        Args:
            size: most entries from now on; of a longer state the newest ``size`` are kept.
            state: as from :meth:`state`.
        """
        start = max(0, len(state["embeddings"]) - size)
        return cls(size, **{name: state[name][start:] for name in _COLUMNS})

    def state(self) -> dict[str, Tensor]:
        """Return the tensors by name, as safetensors saves them; the size is configuration."""
        return {name: getattr(self, name) for name in _COLUMNS}

    def __len__(self) -> int:
        return len(self.embeddings)

    def push(
        self, embeddings: Tensor, labels: Tensor, ids: Tensor, *, round: int
    ) -> ContrastiveMemory:
        """Return the memory with a batch added and the oldest entries beyond ``size`` dropped.

        Args:
            embeddings: (B, d), any floating dtype, any length; normalised and detached here.
            labels: (B,) class of each.
            ids: (B,) image of each.
            round: the round in which the weights that made them are trained.

        Raises:
            ValueError: if there are not as many labels and ids as embeddings.
        """
        device = self.embeddings.device
        newest = ContrastiveMemory(
            size=len(embeddings),
            embeddings=unit(embeddings.detach()).to(device),
            labels=labels.to(device, torch.int64),
            ids=ids.to(device, torch.int64),
            rounds=torch.full((len(embeddings),), round, dtype=torch.int64, device=device),
        )
        both = {name: torch.cat([getattr(self, name), getattr(newest, name)]) for name in _COLUMNS}
        return self.from_state(self.size, both)

    def ages(self, round: int) -> Tensor:
        """Return (n,) int64: how many rounds before ``round`` each embedding was made."""
        return round - self.rounds

    def drop_older_than(self, round: int, max_age: int) -> ContrastiveMemory:
        """Return the memory without the entries that are more than ``max_age`` rounds old."""
        fresh = self.ages(round) <= max_age
        return self.from_state(self.size, {k: v[fresh] for k, v in self.state().items()})

    def re_embed(self, embed: Callable[[Tensor], Tensor], *, round: int) -> ContrastiveMemory:
        """Return the memory with every embedding made anew from its image, in the same order.

        Args:
            embed: from (n,) image ids, in memory order, to (n, d) embeddings of any length. Not
                called for an empty memory: batch norm takes no empty batch.
            round: the round that the new embeddings are made in.

        Raises:
            ValueError: if ``embed`` does not return (n, d).
        """
        if not len(self):
            return self
        fresh = unit(embed(self.ids).detach()).to(self.embeddings.device)
        if fresh.shape != self.embeddings.shape:
            raise ValueError(
                f"embed returned {tuple(fresh.shape)}, needs {tuple(self.embeddings.shape)}"
            )
        return replace(self, embeddings=fresh, rounds=torch.full_like(self.rounds, round))

    def view(self) -> MemoryView:
        """Return what a loss needs. While the memory warms up, pass the loss None instead."""
        return MemoryView(self.embeddings, self.labels, self.ids)

    def to(self, device: torch.device | str) -> ContrastiveMemory:
        """Return the memory on another device."""
        return self.from_state(self.size, {k: v.to(device) for k, v in self.state().items()})


_COLUMNS = ("embeddings", "labels", "ids", "rounds")
