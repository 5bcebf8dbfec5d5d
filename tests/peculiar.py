"""Networks of a user's own whose normalisation no type gives away, and some other peculiarities.

Each is a factory that ``model.name = peculiar:NAME`` finds: small, for 32 px, with an embedding.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

CHANNELS = 8


class Net(nn.Module):
    """Two convolutions, each with a norm, pooled; logits and the pooled maps."""

    heads = ("head",)

    def __init__(self, make_norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3, 2, 1, bias=False)
        self.norm = make_norm(CHANNELS)
        self.second = nn.Conv2d(CHANNELS, 16, 3, 2, 1)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.second(self.norm(self.conv(x)).relu()).relu().mean((2, 3))
        return self.head(z), z


class DoubledLinear(nn.Linear):
    """A layer that does not load what it saves."""

    def _load_from_state_dict(self, state_dict, prefix, *rest):  # type: ignore[no-untyped-def]
        doubled = {name: 2 * tensor for name, tensor in state_dict.items()}
        super()._load_from_state_dict(doubled, prefix, *rest)


class Doubling(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = DoubledLinear(16, 2)


def plain() -> nn.Module:
    return Net()


class Tied(Net):
    """A batch norm's scale and running mean, known by other names too; one is a view."""

    def __init__(self) -> None:
        super().__init__()
        self.alias = self.norm.weight
        self.register_buffer("seen", self.norm.running_mean.view(1, CHANNELS, 1, 1))


def parametrized() -> nn.Module:
    model = Net()
    weight_norm(model.norm, "weight", dim=0)
    return model


class HandWritten(nn.Module):
    """Ioffe and Szegedy's batch norm, with the names that TensorFlow gave it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.moving_mean, self.moving_var
        if self.training:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            self.moving_mean.lerp_(mean.detach(), 0.1)
            self.moving_var.lerp_(var.detach(), 0.1)
        scale = self.gamma / (var + 1e-5).sqrt()
        return (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


def hand_written() -> nn.Module:
    return Net(HandWritten)


class Functional(nn.Module):
    """``F.batch_norm`` with statistics that are parameters without gradient."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(channels))
        self.b = nn.Parameter(torch.zeros(channels))
        self.m = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.v = nn.Parameter(torch.ones(channels), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.m, self.v, self.g, self.b, self.training)


def functional() -> nn.Module:
    return Net(Functional)


class ScaledAfter(nn.Module):
    """A batch norm without a scale, and beside it a scale and a shift of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale.exp() + self.shift[:, None, None]


def scaled_after() -> nn.Module:
    return Net(ScaledAfter)


class FunctionalInstance(nn.Module):
    """``F.instance_norm`` with statistics; its scale is cast on the way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(channels, dtype=torch.float64))
        self.register_buffer("m", torch.zeros(channels))
        self.register_buffer("v", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, self.m, self.v, self.g.float(), None, self.training)


def functional_instance() -> nn.Module:
    return Net(FunctionalInstance)


class Observed(nn.Module):
    """The range of what passes, as a quantisation observer keeps it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("min_val", torch.full((channels,), torch.inf))
        self.register_buffer("max_val", torch.full((channels,), -torch.inf))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.min_val.copy_(torch.minimum(self.min_val, x.detach().amin((0, 2, 3))))
            self.max_val.copy_(torch.maximum(self.max_val, x.detach().amax((0, 2, 3))))
        return x


def observed() -> nn.Module:
    return Net(Observed)


class Masked(Net):
    """Buffers that nothing changes: minus infinity, large integers, numbers of other types."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1))
        self.register_buffer("salt", torch.tensor(2**40))
        self.register_buffer("rough", torch.ones(3, dtype=torch.bfloat16))
        self.register_buffer("nothing", torch.zeros(0))


class Spectral(Net):
    """Vectors of a power iteration: training changes them, its images do not."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 2))


class Remembering(Net):
    """State in four places that no ``state_dict`` has, all of which change the output."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(16), persistent=False)
        self.ema = torch.zeros(16)
        self.calls = 0
        self.history: list[float] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, z = super().forward(x)
        z = z + 0.1 * (self.last + self.ema) + 0.01 * self.calls + sum(self.history[-1:])
        self.last = z.detach().mean(0)
        self.ema = 0.9 * self.ema + 0.1 * z.detach().mean(0)
        self.calls += 1
        self.history.append(float(z.detach().mean()) / 10)
        return self.head(z), z


class Counting(Net):
    """Plain values alone that change the output: a counter and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.history: list[float] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, z = super().forward(x)
        z = z + 0.01 * self.calls + sum(self.history[-1:])
        self.calls += 1
        self.history.append(float(z.detach().mean()) / 10)
        return self.head(z), z
