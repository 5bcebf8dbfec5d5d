"""Privacy of a whole hospital: its update is clipped and noised before it leaves.

The update is one vector: by how much training has changed each float tensor that leaves, the
tensors of a method's own groups included, which are changes already. Integer tensors, such as
batch counters, are neither clipped nor noised.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from federated.dp.stream import Float64, Stream
from federated.exchange.sharing import WEIGHTS

Changes = dict[str, Float64]


class NotFiniteUpdateError(Exception):
    """An update that has no norm cannot be clipped, and so must not leave."""


def change_of(released: Mapping[str, Tensor], sent: Mapping[str, Tensor]) -> Changes:
    """Return by how much each float tensor has changed, in float64, by ``GROUP/NAME``."""
    return {
        name: _float64(tensor) - (_float64(sent[name]) if _is_position(name) else 0.0)
        for name, tensor in released.items()
        if tensor.is_floating_point()
    }


def _float64(tensor: Tensor) -> Float64:
    return tensor.detach().cpu().double().numpy()


def _is_position(name: str) -> bool:
    """Return whether a tensor is a weight, of which the change is taken, and no change itself."""
    return name.startswith(f"{WEIGHTS}/")


def norm_of(change: Mapping[str, Float64]) -> float:
    """Return the L2 norm of all tensors together."""
    return math.sqrt(math.fsum(float(np.vdot(part, part)) for part in change.values()))


def clipped(change: Changes, clip: float) -> Changes:
    """Return the change scaled down to the norm ``clip`` if it is longer; 0: as it is.

    Raises:
        NotFiniteUpdateError: it has no norm.
    """
    norm = norm_of(change)
    if not math.isfinite(norm):
        raise NotFiniteUpdateError("the update is not finite, so it cannot be clipped")
    if not clip or norm <= clip:
        return change
    scale = clip / norm * (1 - 2.0**-40)  # what rounding may add to the norm of the product
    return {name: part * scale for name, part in change.items()}


def noised(change: Changes, deviation: float, stream: Stream) -> Changes:
    """Return the change with noise N(0, deviation^2) on every number; 0: as it is."""
    if not deviation:
        return change
    return {name: part + deviation * stream.normals(part.shape) for name, part in change.items()}


def private_update(
    released: Mapping[str, Tensor],
    sent: Mapping[str, Tensor],
    *,
    clip: float,
    deviation: float,
    stream: Stream,
) -> dict[str, Tensor]:
    """Return what may leave in place of ``released``; what nothing was done to keeps its bits.

    Args:
        released: What training made, by ``GROUP/NAME``.
        sent: What it began with.
        clip: C, the largest norm of the whole change; 0: it is not clipped.
        deviation: Standard deviation of the noise.
        stream: Of the noise.

    Raises:
        NotFiniteUpdateError: a value is not finite.
    """
    change = change_of(released, sent)
    private = noised(clipped(change, clip), deviation, stream)
    if private is change:
        return dict(released)
    tensors = dict(released)
    for name, part in private.items():
        start = _float64(sent[name]) if _is_position(name) else 0.0
        tensors[name] = torch.from_numpy(np.asarray(start + part)).to(released[name].dtype)
    return tensors
