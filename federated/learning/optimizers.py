"""torch's optimisers without the wrappers that import its compiler."""

from inspect import unwrap
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

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
