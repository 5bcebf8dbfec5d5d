"""The local optimiser, its learning rate, and its state as named tensors.

torch's optimisers are used without the wrappers that import its compiler.
"""

import math
from collections.abc import Mapping, Sequence
from inspect import unwrap
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from federated.config.training import Train

PLAIN = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods that torch only keeps out of compiled code."""


Kind = TypeVar("Kind", bound=Optimizer)


def uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return the optimiser ``kind`` for code that is not compiled; the same numbers to the bit.

    The first call of a wrapped method imports ``torch._dynamo``, which costs every process as much
    as torch itself. What is wrapped is the plain method; without a gradient, as the wrapper has it.
    """
    methods = {name: unwrap(getattr(kind, name)) for name in PLAIN}
    methods["step"] = torch.no_grad()(unwrap(kind.step))
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


Adam = uncompiled(torch.optim.Adam)
SGD = uncompiled(torch.optim.SGD)


def learning_rate(train: Train, round: int, rounds: int) -> float:
    """Return the learning rate of a round, 1-based: (1 + cos(pi (round - 1) / rounds)) / 2 x lr."""
    if train.schedule == "constant":
        return train.lr
    return (1 + math.cos(math.pi * (round - 1) / rounds)) / 2 * train.lr


def make_optimizer(parameters: Sequence[nn.Parameter], train: Train, lr: float) -> Optimizer:
    """Return the local optimiser."""
    if train.optimizer == "sgd":
        return SGD(parameters, lr=lr, momentum=train.momentum, weight_decay=train.weight_decay)
    betas = (train.momentum, 0.999)
    return Adam(parameters, lr=lr, betas=betas, weight_decay=train.weight_decay, fused=True)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors: ``PARAMETER.QUANTITY``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).detach().cpu()
        for index, quantities in state.items()
        for name, value in quantities.items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state of ``optimizer_tensors``; none leaves it as it is."""
    if not tensors:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
