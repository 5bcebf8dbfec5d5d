"""Parts that the networks share: channel counts, initialised convolutions, norms and PEPX."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from federated.errors import UserError


def scaled(channels: int, width: float) -> int:
    """Return ``channels * width`` rounded to a multiple of 8, at least 8.

    Eight, because PEPX needs a half and three quarters of it as whole numbers, and a group norm
    at a 1x1 map needs several channels in a group.
    """
    return max(8, 8 * round(channels * width / 8))


def require_size(size: tuple[int, ...], smallest: int) -> None:
    """Raise UserError if images of this (height, width) are under ``smallest`` pixels."""
    height, width = size
    if min(size) < smallest:
        raise UserError(
            f"images of {height}x{width} px are too small: this network halves them until nothing "
            f"is left, it needs {smallest}x{smallest} px or more"
        )


class WholeMapConv2d(nn.Conv2d):
    """A convolution whose kernel covers the map: (B, C, k, k) -> (B, n_out, 1, 1).

    It is a matrix product, and as one it takes a fraction of a convolution's time.
    """

    def forward(self, map: Tensor) -> Tensor:
        """Return the one value per output channel."""
        # Channels last in both, so that neither is copied where it is stored so.
        rows, kernels = (t.permute(0, 2, 3, 1).flatten(1) for t in (map, self.weight))
        return linear(rows, kernels, self.bias)[:, :, None, None]


class StandardConv2d(nn.Conv2d):
    """A convolution whose kernels have mean 0 and variance 1 / fan-in, times a gain each.

    Scaled weight standardisation (Brock et al., ICLR 2021, arXiv 2101.08692), which keeps
    activations in order where there is no norm.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, map: Tensor) -> Tensor:
        """Return the convolution of a map with the standardised kernels."""
        made: Tensor = self._conv_forward(map, self.standardised(), self.bias)
        return made

    def standardised(self) -> Tensor:
        """Return the kernels as they are used: (n_out, n_in, k, k)."""
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        fan_in = self.weight[0].numel()
        return self.gain * (self.weight - mean) * torch.rsqrt(fan_in * variance + 1e-6)


def conv(
    n_in: int,
    n_out: int,
    size: int = 1,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    gain: float = 1.0,
    kind: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Conv2d:
    """Return a biased convolution with weights from N(0, gain^2 / fan_in) and zero biases.

    A gain of 1 keeps the second moment (LeCun et al. 1998; He et al. 2015, arXiv 1502.01852).
    It is 1 before a ReLU too, not sqrt(2): outside the heads a max-pool follows nearly every
    ReLU and raises the second moment by about what the ReLU took.
    """
    layer = kind(n_in, n_out, size, stride=stride, padding=padding, groups=groups)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    nn.init.zeros_(cast(Tensor, layer.bias))
    return layer


def norm_layers(channels: int, kind: str) -> list[nn.Module]:
    """Return the norm of this kind as a list of modules: one, or none at all.

    Args:
        channels: channels of the map to normalise.
        kind: ``batch``; ``group``, with 16 channels a group (Wu and He 2018, arXiv 1803.08494)
            or 8 where 16 do not divide; ``none``; ``weight``, of the convolution before it.

    Raises:
        UserError: for any other kind, or channels that do not fall into groups of 8.
    """
    if kind == "batch":
        return [nn.BatchNorm2d(channels)]
    if kind in ("none", "weight"):
        return []
    if kind != "group":
        raise UserError(f"unknown norm '{kind}': it is batch, group, none or weight")
    # A group of one channel at a 1x1 map would be normalised to zero.
    if channels % 8:
        raise UserError(f"group norm needs a multiple of 8 channels, not {channels}")
    return [nn.GroupNorm(channels // math.gcd(channels, 16), channels)]


def dense(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer initialised as ``conv`` is."""
    layer = nn.Linear(n_in, n_out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(n_in))
    nn.init.zeros_(layer.bias)
    return layer


def conv_norm_relu(
    n_in: int,
    n_out: int,
    size: int = 1,
    *,
    norm: str,
    stride: int = 1,
    padding: int = 0,
    halve: bool = False,
    kind: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    """Return convolution, norm and ReLU, each its own module: without a norm the ReLU stays.

    With ``halve`` a 2x2 max-pool follows. It stands before the ReLU: the two commute to the bit,
    gradients included, and so the ReLU works on a quarter of the map.
    """
    kind = StandardConv2d if norm == "weight" and kind is nn.Conv2d else kind
    layer = conv(n_in, n_out, size, stride=stride, padding=padding, kind=kind)
    pool = [nn.MaxPool2d(2)] if halve else []
    return nn.Sequential(layer, *norm_layers(n_out, norm), *pool, nn.ReLU())


class PEPX(nn.Sequential):
    """Projection, expansion, projection, extension (Wang and Wong 2020, arXiv 2003.09871).

    1x1 to n_in/2, 1x1 to 3/4 n_in, 3x3 depthwise, 1x1 to n_in/2, 1x1 to n_out, with biases and
    with neither norm nor activation inside: (B, n_in, H, W) -> (B, n_out, H, W).

    Args:
        n_in: channels in, a multiple of 4.
        n_out: channels out.
        gain: the output's standard deviation at initialisation over the input's.
    """

    def __init__(self, n_in: int, n_out: int, *, gain: float = 1.0) -> None:
        half, wide = n_in // 2, 3 * n_in // 4
        super().__init__(
            conv(n_in, half),
            conv(half, wide),
            conv(wide, wide, 3, padding=1, groups=wide),
            conv(wide, half),
            conv(half, n_out, gain=gain),
        )
