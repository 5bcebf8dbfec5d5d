"""The boundary of a hospital: which tensors are shared, which private, and a type for the first.

What is private is decided in ``federated.exchange.privacy``; here it is split off and joined.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from federated.exchange.admissible import refuse_what_cannot_be_sent, refuse_what_cannot_be_stored
from federated.exchange.norms import UNWATCHED, Watched, tensors_of
from federated.exchange.privacy import Rule, private_names

State = Mapping[str, Tensor]
"""A ``state_dict``: name to tensor."""

WEIGHTS = "weights"
"""The group of the network's own tensors; a method may bring more groups, such as ``control``."""

Value = TypeVar("Value")


def group(tensors: Mapping[str, Value], name: str) -> dict[str, Value]:
    """Return the tensors whose names begin with ``name/``, without it."""
    return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}


def as_group(tensors: Mapping[str, Value], name: str) -> dict[str, Value]:
    """Return the tensors with ``name/`` before their names: the inverse of ``group``."""
    return {f"{name}/{key}": tensor for key, tensor in tensors.items()}


@dataclass(frozen=True)
class TensorSpec:
    """Name (``GROUP/NAME``), shape and dtype of a tensor that may leave a site."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> "TensorSpec":
        """Return the specification that ``tensor`` fulfils."""
        return cls(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))

    def admits(self, tensor: Tensor) -> bool:
        """Return whether ``tensor`` has this shape and dtype."""
        return self == TensorSpec.of(self.name, tensor)


@dataclass(frozen=True)
class Constant:
    """Name of a tensor that does not change, and the digest of its value."""

    name: str
    digest: str


@dataclass(frozen=True)
class Boundary:
    """The split of one network: what may leave, and the names of what never does.

    Attributes:
        shared: What may leave, by ``GROUP/NAME``: the network's shared tensors in its order, then
            the groups that the method brings.
        private: Names of the network's tensors that never leave and live in the site's vault.
        constant: Buffers that training leaves as they are; every site has them from the start.
    """

    shared: tuple[TensorSpec, ...]
    private: tuple[str, ...]
    constant: tuple["Constant", ...] = ()

    @cached_property
    def by_name(self) -> dict[str, TensorSpec]:
        """What may leave, by ``GROUP/NAME``."""
        return {spec.name: spec for spec in self.shared}

    @cached_property
    def groups(self) -> frozenset[str]:
        """Names of the groups of what may leave."""
        return frozenset(name.partition("/")[0] for name in self.by_name)

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Names of the network's shared tensors, in its order."""
        return tuple(group(self.by_name, WEIGHTS))

    def with_group(self, name: str, tensors: State) -> "Boundary":
        """Return the boundary that admits one more group, of tensors like these."""
        specs = [TensorSpec.of(key, tensor) for key, tensor in as_group(tensors, name).items()]
        return replace(self, shared=(*self.shared, *specs))


@dataclass(frozen=True)
class Release:
    """The only thing that may leave a site: tensors admitted by a ``Boundary``'s allow-list."""

    tensors: dict[str, Tensor]


def boundary_of(
    model: nn.Module,
    policy: str,
    heads: Sequence[str] = (),
    *,
    private: Sequence[str] = (),
    shared: Sequence[str] = (),
    watched: Watched | None = None,
) -> Boundary:
    """Return which tensors of ``model`` are shared.

    Args:
        model: Any network, with the values that it begins with.
        policy: ``conv`` (batch norm private: FedBN, arXiv 2102.07623), ``silobn`` (statistics
            private, arXiv 2008.07424), ``backbone`` (as conv, heads private too), ``all``
            (FedAvg) or ``nothing`` (local training).
        heads: Submodules that are heads.
        private: More that is private: kinds, and names of submodules or tensors.
        shared: Names of submodules or tensors that are shared although a kind is private.
        watched: What a training pass showed of the network; without, none of its buffers counts
            as constant.

    Raises:
        UserError: a name is not in the network, or a tensor cannot be judged or sent.
    """
    rule = Rule(policy, private, shared, heads)
    state = model.state_dict()
    refuse_what_cannot_be_stored(state)
    kept = private_names(model, rule, watched or UNWATCHED)
    constant = {name for name in _constants(model, watched) if name not in kept}
    sent = {n: t for n, t in state.items() if n not in kept and n not in constant}
    refuse_what_cannot_be_sent(sent, watched)
    return Boundary(
        shared=tuple(TensorSpec.of(f"{WEIGHTS}/{name}", tensor) for name, tensor in sent.items()),
        private=tuple(name for name in state if name in kept),
        constant=tuple(Constant(n, digest_of(t)) for n, t in state.items() if n in constant),
    )


def _constants(model: nn.Module, watched: Watched | None) -> set[str]:
    """Return the tensors that training leaves as they are: they need not be averaged.

    Buffers that a training pass did not change, and parameters without gradient such as a mask of
    minus infinity, which no mean could be taken of. Frozen weights are shared as all weights are.
    """
    if watched is None:
        return set()
    is_constant = {
        name: (not isinstance(tensor, nn.Parameter)) or name in watched.not_finite
        for name, tensor in tensors_of(model).items()
        if not tensor.requires_grad and name not in watched.changed | watched.statistics
    }
    return {name for name, is_so in is_constant.items() if is_so}


def digest_of(tensor: Tensor) -> str:
    """Return a digest of a tensor's shape, dtype and bits."""
    bits = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode() + bits).hexdigest()


def release(state: State, boundary: Boundary, extra: State | None = None) -> Release:
    """Return copies of the tensors that the boundary admits, on the CPU, contiguous.

    Args:
        state: The network's state.
        boundary: The allow-list.
        extra: Tensors of the method's own groups, by ``GROUP/NAME``.

    Raises:
        ValueError: a tensor is not what the boundary admits.
    """
    every = {**as_group(state, WEIGHTS), **(extra or {})}
    tensors = {}
    for spec in boundary.shared:
        tensor = every[spec.name].detach().cpu().contiguous().clone()
        if not spec.admits(tensor):
            raise ValueError(f"{spec.name} is {tensor.dtype} {tuple(tensor.shape)}, not {spec}")
        tensors[spec.name] = tensor
    return Release(tensors)


def private_part(state: State, boundary: Boundary) -> dict[str, Tensor]:
    """Return copies of the tensors of ``state`` that the site keeps in its vault.

    A constant that has changed after all, which no probe foresaw, is kept like a private tensor.
    """
    moved = [c.name for c in boundary.constant if digest_of(state[c.name]) != c.digest]
    names = (*boundary.private, *moved)
    return {n: state[n].detach().cpu().contiguous().clone() for n in names}


def constant_part(state: State, boundary: Boundary) -> dict[str, Tensor]:
    """Return the tensors of ``state`` that are neither sent nor kept, since they never change."""
    return {constant.name: state[constant.name] for constant in boundary.constant}


def join(shared: State, private: State) -> dict[str, Tensor]:
    """Return the whole state of the network: the exact inverse of the split."""
    if both := shared.keys() & private.keys():
        raise ValueError(f"tensors both shared and private: {sorted(both)}")
    return {**shared, **private}
