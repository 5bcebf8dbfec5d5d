"""Optimisers without torch's compiler: torch's numbers, and no import of the compiler."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from federated.learning.optimizers import SGD, Adam

ADAM = {"lr": 0.01, "betas": (0.8, 0.999), "weight_decay": 0.1, "fused": True}
MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}


def trained(kind: type[torch.optim.Optimizer], options: dict[str, object], *, stop: int) -> Tensor:
    """Return the weights after 6 steps; after ``stop`` a new optimiser goes on from the state."""
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 3), torch.randn(8, 5)
    optimizer = kind(layer.parameters(), **options)  # type: ignore[call-arg]
    for step in range(6):
        if step == stop:
            state = optimizer.state_dict()
            optimizer = kind(layer.parameters(), **options)  # type: ignore[call-arg]
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()
    return torch.cat([layer.weight.flatten(), layer.bias]).detach()


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [(Adam, torch.optim.Adam, ADAM), (SGD, torch.optim.SGD, MOMENTUM)],
)
@pytest.mark.parametrize("stop", [3, 6])
def test_the_bits_are_torchs(
    ours: type[torch.optim.Optimizer],
    theirs: type[torch.optim.Optimizer],
    options: dict[str, object],
    stop: int,
) -> None:
    assert torch.equal(trained(ours, options, stop=stop), trained(theirs, options, stop=6))


def test_steps_record_no_gradient_and_learn_from_what_has_one() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = SGD([weight], lr=0.5)
    weight.sum().backward()
    optimizer.step()
    assert weight.requires_grad and weight.is_leaf and weight.tolist() == [0.5, 0.5]
    optimizer.zero_grad()
    assert weight.grad is None


def test_training_does_not_import_the_compiler() -> None:
    program = """
import sys, torch
from federated.learning.optimizers import Adam
weight = torch.ones(2, requires_grad=True)
optimizer = Adam([weight], lr=0.1, fused=True)
weight.sum().backward()
optimizer.step(); optimizer.zero_grad(); optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
