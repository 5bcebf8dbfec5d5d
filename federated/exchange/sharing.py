"""The boundary of a hospital: which tensors are shared, which private, and a type for the first.

A tensor is judged by the *type of the module that owns it*, never by its name: names such as
``downsample.1`` or ``denseblock3.norm2`` hide a batch norm, and ``bn10`` starts with ``bn1``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from federated.errors import UserError

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
class Boundary:
    """The split of one network: what may leave, and the names of what never does.

    Attributes:
        shared: What may leave, by ``GROUP/NAME``: the network's shared tensors in its order, then
            the groups that the method brings.
        private: Names of the network's tensors that never leave.
    """

    shared: tuple[TensorSpec, ...]
    private: tuple[str, ...]

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Names of the network's shared tensors, in its order."""
        return tuple(group({spec.name: spec for spec in self.shared}, WEIGHTS))

    def with_group(self, name: str, tensors: State) -> "Boundary":
        """Return the boundary that admits one more group, of tensors like these."""
        specs = [TensorSpec.of(key, tensor) for key, tensor in as_group(tensors, name).items()]
        return Boundary((*self.shared, *specs), self.private)


@dataclass(frozen=True)
class Release:
    """The only thing that may leave a site: tensors admitted by a ``Boundary``'s allow-list."""

    tensors: dict[str, Tensor]


def holds_statistics(module: nn.Module) -> bool:
    """Return whether a module normalises with statistics of the data it has seen.

    True of every torch batch norm (1d, 2d, 3d, sync, lazy) and instance norm, and of any other
    module that owns buffers ``running_mean`` and ``running_var`` (frozen and in-place variants).
    Group and layer norm keep no statistics and are shared like convolutions.
    """
    buffers = dict(module.named_buffers(recurse=False))
    return isinstance(module, _NormBase) or {"running_mean", "running_var"} <= buffers.keys()


def norm_tensors(model: nn.Module, *, affine: bool) -> set[str]:
    """Return names of all batch-norm tensors in ``model.state_dict()``.

    Args:
        model: Any network.
        affine: Count the affine part in as well, not the statistics alone.
    """
    names = set()
    for path, module in model.named_modules(remove_duplicate=False):
        if holds_statistics(module):
            own = [name for name, _ in module.named_buffers(recurse=False)]
            own += [name for name, _ in module.named_parameters(recurse=False)] if affine else []
            names |= {f"{path}.{name}" if path else name for name in own}
    return names & model.state_dict().keys()


def head_tensors(model: nn.Module, heads: Iterable[str]) -> set[str]:
    """Return names of all tensors inside the submodules called ``heads``.

    Raises:
        UserError: the network names no heads, or has no such submodule.
    """
    heads = tuple(heads)
    modules = dict(model.named_modules(remove_duplicate=False))
    if not heads:
        raise UserError(
            "sharing.policy = backbone keeps the heads private, and this network does not say "
            "which they are: set model.heads = NAME,NAME."
        )
    for head in heads:
        if head not in modules:
            raise UserError(f"model.heads: the network has no submodule '{head}'.")
    return {n for n in model.state_dict() if any(n.startswith(f"{head}.") for head in heads)}


def boundary_of(model: nn.Module, policy: str, heads: Iterable[str] = ()) -> Boundary:
    """Return which tensors of ``model`` are shared under ``policy``.

    Args:
        model: Any network.
        policy: ``conv`` (batch norm private: FedBN, arXiv 2102.07623), ``silobn`` (statistics
            private, arXiv 2008.07424), ``backbone`` (as conv, heads private too), ``all``
            (FedAvg) or ``nothing`` (local training).
        heads: Submodules that are heads; only ``backbone`` reads it.
    """
    state = model.state_dict()
    if policy == "conv":
        private = norm_tensors(model, affine=True)
    elif policy == "silobn":
        private = norm_tensors(model, affine=False)
    elif policy == "backbone":
        private = norm_tensors(model, affine=True) | head_tensors(model, heads)
    elif policy == "all":
        private = set()
    elif policy == "nothing":
        private = set(state)
    else:
        raise UserError(f"sharing.policy = '{policy}' is unknown.")
    return Boundary(
        shared=tuple(
            TensorSpec.of(f"{WEIGHTS}/{name}", tensor)
            for name, tensor in state.items()
            if name not in private
        ),
        private=tuple(name for name in state if name in private),
    )


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
    """Return copies of the tensors of ``state`` that stay at the site."""
    return {n: state[n].detach().cpu().contiguous().clone() for n in boundary.private}


def join(shared: State, private: State) -> dict[str, Tensor]:
    """Return the whole state of the network: the exact inverse of the split."""
    if both := shared.keys() & private.keys():
        raise ValueError(f"tensors both shared and private: {sorted(both)}")
    return {**shared, **private}
