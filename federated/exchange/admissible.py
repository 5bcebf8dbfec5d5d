"""What of a network's state can be stored at a site, and what can be sent and averaged exactly."""

from collections.abc import Mapping

import torch
from torch import Tensor

from federated.errors import UserError
from federated.exchange.norms import Watched

SENDABLE = {torch.float16, torch.float32, torch.float64, torch.bool, torch.uint8}
SENDABLE |= {torch.int8, torch.int16, torch.int32, torch.int64}
STORABLE = SENDABLE | {torch.bfloat16, torch.complex64}
LARGEST_INTEGER = 2**20
"""Sums of integers times images are exact below 2^38 (``federated.exchange.exact``)."""


def refuse_what_cannot_be_stored(state: Mapping[str, object]) -> None:
    """Raise a UserError for what is no tensor, or is one that no vault holds."""
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"the network's state holds {name}, a {type(value).__name__}: only tensors can be "
                "kept and shared, so let get_extra_state return a tensor or do without it."
            )
        if value.dtype not in STORABLE or value.layout != torch.strided:
            raise UserError(
                f"{name} is a tensor of {value.dtype} and {value.layout}, which cannot be stored; "
                "use a dense float32 one."
            )


def refuse_what_cannot_be_sent(sent: Mapping[str, Tensor], watched: Watched | None) -> None:
    """Refuse what no exact mean can be taken of, before anyone trains."""
    for name, tensor in sent.items():
        remedy = f"or keep it at every site: sharing.private = {name}"
        if tensor.dtype not in SENDABLE:
            raise UserError(
                f"{name} is {str(tensor.dtype).removeprefix('torch.')}, of which no exact mean is "
                f"taken; make it float32, {remedy}."
            )
        if watched and name in watched.not_finite:
            raise UserError(f"{name} holds a value that is not finite; mend it, {remedy}.")
        is_integer = not tensor.is_floating_point() and tensor.dtype != torch.bool
        if is_integer and tensor.numel() and _largest(tensor) >= LARGEST_INTEGER:
            raise UserError(
                f"{name} holds an integer of {LARGEST_INTEGER} or more, too large for an exact "
                f"mean; begin with less, {remedy}."
            )


def _largest(tensor: Tensor) -> int:
    return max(-int(tensor.min()), int(tensor.max()))
