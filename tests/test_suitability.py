"""A network that does not suit a run gets one sentence; statistics are true means."""

import peculiar
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.study import parse
from federated.engine.running import check
from federated.errors import UserError
from federated.learning.compute import Compute
from federated.learning.evaluation import average_statistics
from federated.methods import check_method


class OneLogit(peculiar.Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0][:, :1]


class Auxiliary(peculiar.Net):
    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits, z = super().forward(x)
        return (logits, z) if self.training else logits


class Dictionary(peculiar.Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x)[0]}


class NotFinite(peculiar.Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, z = super().forward(x)
        return logits / 0 * 0, z


class TooSmall(peculiar.Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.shape[-1] >= 75, "input too small"
        return super().forward(x)


class ExtraState(peculiar.Net):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}


def frozen() -> nn.Module:
    return peculiar.Net().requires_grad_(False)


ONLY = peculiar.Net()


def same() -> nn.Module:
    return ONLY


class AsMap(peculiar.Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, z = super().forward(x)
        return logits, z[:, :, None, None]


@pytest.mark.parametrize(
    ("network", "method", "message"),
    [
        ("OneLogit", "fedavg", r"shape \(2, 1\)"),
        ("Auxiliary", "fedavg", "in training or in evaluation only"),
        ("Dictionary", "fedavg", "returns a dict"),
        ("NotFinite", "fedavg", "logits that are not finite"),
        ("TooSmall", "fedavg", "fails on two images of 32x32 px: AssertionError: input too small"),
        ("ExtraState", "fedavg", "holds _extra_state, a dict"),
        ("frozen", "fedavg", "no parameter to train"),
        ("same", "fedavg", "the same object at every call"),
        ("AsMap", "contrastive", "needs a vector an image"),
    ],
)
def test_what_does_not_suit_is_told_before_round_1(network: str, method: str, message: str) -> None:
    config = parse({"methods": method, "model.name": f"{__name__}:{network}"} | SMALL)
    with pytest.raises(UserError, match=message):
        check_method(config.by_method[method], method)


SMALL = {"data.image-size": "32"}


@pytest.mark.parametrize("network", ["observed", "hand_written", "functional"])
def test_statistics_that_recalibration_would_leave_are_named(network: str) -> None:
    given = {"methods": "consilium", "model.name": f"peculiar:{network}", **SMALL}
    with pytest.raises(UserError, match=r"bn\.recalibrate cannot re-estimate norm"):
        check(parse(given | {"engine.kind": "inline"}))


class Foreign(nn.Module):
    """Statistics and momentum, and no ``reset_running_stats``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.momentum = 0.1
        self.register_buffer("running_mean", torch.full((channels,), 7.0))
        self.register_buffer("running_var", torch.full((channels,), 7.0))

    def forward(self, x: Tensor) -> Tensor:
        mean, var, momentum = self.running_mean, self.running_var, self.momentum
        return F.batch_norm(x, mean, var, None, None, self.training, momentum)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d,
        nn.SyncBatchNorm,
        Foreign,
        lambda c: nn.BatchNorm2d(c, momentum=None),
        lambda c: nn.InstanceNorm2d(c, track_running_stats=True),
        lambda c: nn.InstanceNorm2d(c, track_running_stats=True, momentum=None),
    ],
)
def test_statistics_are_the_plain_means_over_batches(norm) -> None:  # type: ignore[no-untyped-def]
    """Computed from the norm's own inputs by a hook, in float64."""
    torch.manual_seed(0)
    model = peculiar.Net(norm)
    momentum = model.norm.momentum
    seen: list[Tensor] = []
    model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    batches = [torch.randn(6, 3, 32, 32) * k for k in (1, 2, 3)]
    average_statistics(model, batches, Compute(torch.device("cpu"), bf16=False))
    if isinstance(model.norm, nn.InstanceNorm2d):
        means = [x.mean((2, 3)).mean(0) for x in seen]
        variances = [x.var((2, 3)).mean(0) for x in seen]
    else:
        means = [x.mean((0, 2, 3)) for x in seen]
        variances = [x.var((0, 2, 3)) for x in seen]
    expected = torch.stack(means).mean(0), torch.stack(variances).mean(0)
    torch.testing.assert_close(model.norm.running_mean.double(), expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.norm.running_var.double(), expected[1], rtol=1e-4, atol=1e-5)
    assert model.norm.momentum == momentum and not model.training


def test_frozen_statistics_stay_as_they_are() -> None:
    class Frozen(peculiar.Net):
        def train(self, mode: bool = True) -> "Frozen":
            super().train(mode)
            self.norm.eval()
            return self

    model = Frozen()
    average_statistics(model, [torch.randn(4, 3, 32, 32)], Compute(torch.device("cpu"), bf16=False))
    assert torch.equal(model.norm.running_mean, torch.zeros(8))
