"""Grad-CAM: what it is of a network where it can be computed by hand, and the command."""

import re
from pathlib import Path

import pytest
import torch
from conftest import RunTiny
from PIL import Image
from torch import Tensor, nn

from federated.commands.main import main
from federated.errors import UserError
from federated.learning.explaining import grad_cam, overlay


class Pooled(nn.Module):
    """A convolution, global average pooling and a linear layer: the network of CAM."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.linear = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.tanh(self.conv(x)).mean(dim=(2, 3)))


class Mapped(Pooled):
    """The same, its map the output of a module."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.map(self.conv(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("target", [0, 1])
def test_grad_cam_is_cam_behind_global_average_pooling(target: int) -> None:
    """Zhou et al., CVPR 2016: the sum over channels of weight times map; here over its places."""
    torch.manual_seed(0)
    model, x = Mapped(), torch.randn(4, 3, 6, 8)
    with torch.no_grad():
        maps = model.map(model.conv(x))
        weights = model.linear.weight[target]
        cam = torch.einsum("k,bkhw->bhw", weights, maps) / (6 * 8)
    torch.testing.assert_close(grad_cam(model, x, target), cam.clamp_min(0))


def test_it_leaves_the_network_as_it_was() -> None:
    model = Mapped()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grad_cam(model, torch.randn(2, 3, 8, 8))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    torch.testing.assert_close(model.state_dict(), before)


def test_a_network_without_a_map_gets_a_sentence() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    with pytest.raises(UserError, match="has no map of 4 x 4 places"):
        grad_cam(flat, torch.randn(2, 3, 8, 8))


def test_maps_are_scaled_one_by_one_and_one_of_zeros_stays() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[0, 1, 1] = 0.25
    large = overlay(maps, 8)
    assert large.shape == (2, 8, 8) and float(large[0].max()) == 1.0 and not large[1].any()


def test_the_command_draws_hits_misses_and_other_batch_norms(
    run_tiny: RunTiny, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = run_tiny(methods="fedbn", rounds=1)
    words = ["explain", str(run.folder), "--site", "phantom-2", "--count", "2"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "phantom-1: " in told and "phantom-3: " in told and "test images of phantom-2" in told
    assert re.search(r"^(Hits|Misses) \(threshold 0\.\d\d\): (non-)?COVID, p = 0\.\d\d", told)
    with Image.open(run.folder / "answers" / "explain-phantom-2.png") as picture:
        assert min(picture.size) > 300
    assert main([*words, "--to", str(tmp_path / "x" / "y.png")]) == 0
    assert (tmp_path / "x" / "y.png").exists()
    for wrong in (["--site", "phantom-9"], ["--method", "moon"], ["--count", "0"]):
        assert main([*words, *wrong]) == 2
