"""Residual adapters: small convolutions of a hospital's own beside those that all share.

Rebuffi, Bilen and Vedaldi, NeurIPS 2017, arXiv 1705.08045 (series), and CVPR 2018, arXiv 1803.10082
(parallel), with the hospitals in the place of the papers' visual domains. f is a convolution that
all share, alpha a 1x1 convolution of the hospital's own, without a bias:

    series:    y = f(x);  y + alpha(norm(y))
    parallel:  f(x) + alpha(x)

Each begins with alpha = 0, so that the network begins as the one without adapters. They stand at
every convolution with a window of more than one pixel whose map keeps its side, but for its stride.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from federated.errors import UserError
from federated.learning.models.blocks import norm_layers


class SeriesAdapter(nn.Module):
    """What a convolution returned, corrected by the hospital: (B, C, H, W) -> (B, C, H, W)."""

    stays_at_site: ClassVar[bool] = True

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.alpha = nn.Sequential(*norm_layers(channels, norm), zeros(channels, channels))

    def forward(self, y: Tensor) -> Tensor:
        """Return y + alpha(norm(y))."""
        corrected: Tensor = y + self.alpha(y)
        return corrected


class ParallelAdapter(nn.Module):
    """What a hospital adds to a convolution: (B, n_in, H, W) -> (B, n_out, H', W')."""

    stays_at_site: ClassVar[bool] = True

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.alpha = zeros(conv.in_channels, conv.out_channels, conv.stride[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return alpha(x)."""
        added: Tensor = self.alpha(x)
        return added


def zeros(n_in: int, n_out: int, stride: int = 1) -> nn.Conv2d:
    """Return a 1x1 convolution that returns zeros as yet."""
    layer = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
    nn.init.zeros_(layer.weight)
    return layer


def is_adapted(conv: nn.Conv2d) -> bool:
    """Return whether a convolution looks around each pixel and keeps the side of its map."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    return (
        size > 1
        and size % 2 == 1
        and conv.kernel_size == (size, size)
        and conv.padding == (size // 2, size // 2)
        and conv.stride == (stride, stride)
        and conv.dilation == (1, 1)
    )


def add_adapters(model: nn.Module, kind: str, norm: str) -> None:
    """Give a network adapters, in place; its own tensors keep their names.

    Args:
        model: The network.
        kind: ``series`` or ``parallel``.
        norm: As for ``norm_layers``; of adapters in series.

    Raises:
        UserError: it has no convolution for them.
    """
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and is_adapted(m)]
    if not convs:
        raise UserError(
            f"model.adapters = {kind}: the network has no convolution of more than one pixel that "
            "keeps the side of its map, so there is none to adapt; leave model.adapters out."
        )
    for conv in convs:
        if kind == "series":
            conv.add_module("adapter", SeriesAdapter(conv.out_channels, norm))
            conv.register_forward_hook(in_series)
        else:
            conv.add_module("adapter", ParallelAdapter(conv))
            conv.register_forward_hook(in_parallel)


# Functions of the module, and no closures: a copy of the network must call its own adapters.
def in_series(conv: nn.Module, given: tuple[Any, ...], y: Tensor) -> Tensor:
    """Return what a convolution's adapter makes of what it returned."""
    corrected: Tensor = conv.get_submodule("adapter")(y)
    return corrected


def in_parallel(conv: nn.Module, given: tuple[Any, ...], y: Tensor) -> Tensor:
    """Return what a convolution returned plus what its adapter makes of what it was given."""
    added: Tensor = conv.get_submodule("adapter")(given[0])
    return y + added
