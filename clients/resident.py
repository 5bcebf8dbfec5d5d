"""The network that lives in a process, as new for every message: nothing of another site is in it.

Whoever uses it loads a whole state first. What is not in the state is the trouble: buffers that
are not saved, tensors and counters in attributes. A network whose attributes are plain values that
nothing has changed since it was made is used again, which is what most are; any other is made
anew. Comparing takes 0.1 ms on the small network of three convolutions, making it 2.4 ms.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from federated.config.schema import Config
from federated.exchange.norms import tensors_of
from federated.exchange.sharing import Boundary
from federated.learning.network import network_of
from federated.methods import configured_boundary

LOADED = {"_parameters", "_buffers", "_modules", "training"}
"""What of a module is loaded, or set, by whoever uses it."""
SINGLE = {bool, int, float, complex, str, bytes, type(None), type, FunctionType}
SINGLE |= {BuiltinFunctionType, torch.dtype, torch.device, torch.memory_format, torch.Size}
"""Types of values that cannot change."""
HOLDING = {list, tuple, dict, OrderedDict, set, frozenset}
"""Types whose values hold others."""
PLAIN_LOADS = {nn.Module._load_from_state_dict, _NormBase._load_from_state_dict}
"""Ways of loading that copy each tensor, and nothing else for a state of this version."""

Tensors = Mapping[str, Tensor] | None


class NotPlainError(Exception):
    """An attribute whose content cannot be compared."""


@dataclass(frozen=True)
class Resident:
    """A network, its first state, what may leave, and its attributes as they were when made.

    ``attributes`` is None if they cannot be compared; then the network serves one message.
    ``tensors`` are those of its state, None if a module of it loads its state in a way of its own.
    """

    network: nn.Module
    tensors: Tensors
    initial: Mapping[str, Tensor]
    boundary: Boundary
    attributes: Any


def resident(config: Config, seed: int, device: torch.device) -> Resident:
    """Return this process's network of a method and seed, with nothing of other sites in it."""
    kept = _made(config, seed, device)
    if kept.attributes is None or kept.attributes != attributes_of(kept.network):
        _made.cache_clear()
        kept = _made(config, seed, device)
    return kept


def fill(network: nn.Module, tensors: Tensors, state: Mapping[str, Tensor]) -> None:
    """Load a whole state into a resident network.

    As ``load_state_dict`` does, without its walk through the modules, which takes ten times as long
    as the copy where the network is small.

    Args:
        network: To load into.
        tensors: As ``Resident`` has them.
        state: By the same names.
    """
    if tensors is None or tensors.keys() != state.keys():
        network.load_state_dict(dict(state))
        return
    with torch.no_grad():
        for name, tensor in tensors.items():
            if tensor.shape != state[name].shape:  # copy_ would repeat it
                raise RuntimeError(f"{name}: shapes {state[name].shape} and {tensor.shape}")
            tensor.copy_(state[name])


@lru_cache(maxsize=2)
def _made(config: Config, seed: int, device: torch.device) -> Resident:
    network = network_of(config, seed)
    boundary = configured_boundary(config, network)
    initial = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loads_plainly = all(type(m)._load_from_state_dict in PLAIN_LOADS for m in network.modules())
    tensors = tensors_of(network) if loads_plainly else None
    return Resident(network, tensors, initial, boundary, attributes_of(network))


def attributes_of(model: nn.Module) -> Any:
    """Return all that a network holds beside its state, to be compared; None if that is no use."""
    try:
        return tuple(_attributes(module) for module in model.modules())
    except NotPlainError:
        return None


def _attributes(module: nn.Module) -> Any:
    if module._non_persistent_buffers_set:
        raise NotPlainError
    plain = {k: _plain(value) for k, value in vars(module).items() if k not in LOADED}
    # Tensors by which they are: a network may put another one in the place of one.
    trained = {
        name: (id(p), p is not None and p.requires_grad) for name, p in module._parameters.items()
    }
    buffers = {name: id(buffer) for name, buffer in module._buffers.items()}
    return module.__class__, plain, trained, buffers, tuple(module._modules)


def _plain(value: Any) -> Any:
    """Return a copy of a value of Python's own types.

    Raises:
        NotPlainError: it is, or holds, anything else.
    """
    kind = type(value)
    if kind in SINGLE:
        return value
    if kind in HOLDING and not value:
        return kind  # as the tables of hooks are, a dozen in every module
    if isinstance(value, Enum):
        return value
    if kind in (list, tuple):
        return kind, [_plain(item) for item in value]
    if kind in (dict, OrderedDict):
        return kind, [(_plain(key), _plain(item)) for key, item in value.items()]
    if kind in (set, frozenset):
        return kind, {_plain(item) for item in value}
    raise NotPlainError
