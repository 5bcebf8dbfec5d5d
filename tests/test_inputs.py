"""Layers before the network, and FedRDN and HarmoFL as laws."""

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from test_laws import assert_same_bits
from test_methods import toy_round
from torch import nn
from torch.nn import functional as F

from federated.config.schema import Config
from federated.config.study import parse
from federated.errors import UserError
from federated.exchange.sharing import boundary_of
from federated.learning.models import build_model
from federated.learning.models.inputs import INPUT, AmplitudeNorm, OwnStatistics, add_input
from federated.learning.network import network_of
from federated.methods import fedrdn, harmofl, slots
from federated.methods.seam import ServerRound
from federated.unseen.export import export


def images(count: int, size: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def test_own_statistics_are_means_of_the_images_own() -> None:
    layer, x = OwnStatistics(), images(7)
    assert torch.equal(layer.eval()(x), x)  # of no image yet: 0 and 1
    layer.train()
    for part in (x[:3], x[3:5], x[5:]):
        layer(part)
    torch.testing.assert_close(layer.mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(layer.deviation, x.std((2, 3), correction=0).mean(0))
    expected = (x - layer.mean[:, None, None]) / layer.deviation[:, None, None]
    torch.testing.assert_close(layer.eval()(x), expected)
    assert layer.images == 7


def test_training_draws_each_image_a_pair_of_the_others() -> None:
    layer, x = OwnStatistics().train(), images(64)
    layer.others = torch.tensor([[[0.0] * 3, [1.0] * 3], [[2.0] * 3, [4.0] * 3]])
    torch.manual_seed(0)
    found = layer(x)
    is_first = [torch.equal(a, b) for a, b in zip(found, x, strict=True)]
    is_second = [torch.allclose(a, (b - 2) / 4) for a, b in zip(found, x, strict=True)]
    assert all(a != b for a, b in zip(is_first, is_second, strict=True))
    assert 16 < sum(is_first) < 48


def test_amplitude_is_the_mean_and_phases_are_the_images_own() -> None:
    layer, x = AmplitudeNorm(8).train(), images(5)
    spectrum = torch.fft.fft2(x)
    found = torch.fft.fft2(layer(x))
    mean = spectrum.abs().mean(0)
    torch.testing.assert_close(layer.amplitude, mean[..., :5])
    expected = torch.polar(mean.expand(5, 3, 8, 8), spectrum.angle())
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    layer(images(4, seed=1))
    second = torch.fft.rfft2(images(4, seed=1)).abs().mean(0)
    torch.testing.assert_close(layer.amplitude, 0.9 * mean[..., :5] + 0.1 * second)
    held = layer.amplitude.clone()
    layer.eval()(x)
    assert torch.equal(layer.amplitude, held)


def test_an_image_of_the_mean_amplitude_stays_as_it_is() -> None:
    layer, x = AmplitudeNorm(9).train(), images(1, size=9)
    torch.testing.assert_close(layer(x), x, atol=1e-5, rtol=1e-4)
    assert torch.equal(AmplitudeNorm(9).eval()(x), x)  # of no image yet


@pytest.mark.parametrize(("kind", "count"), [("statistics", "images"), ("amplitude", "batches")])
def test_a_copy_of_a_network_calls_its_own_layer(kind: str, count: str) -> None:
    model = build_model("convnet", width=0.25, image_size=32, norm="batch", generator_seed=1)
    names = list(model.state_dict())
    add_input(model, kind, 32)
    assert [name for name in model.state_dict() if not name.startswith(INPUT)] == names
    other = copy.deepcopy(model)
    other(images(2, size=32))
    seen = [int(net.get_submodule(INPUT).state_dict()[count]) for net in (model, other)]
    assert seen[0] == 0 < seen[1]
    with pytest.raises(UserError, match="rename it"):
        add_input(model, kind, 32)


def test_statistics_of_images_stay_whatever_the_policy() -> None:
    config = parse({"methods": "fedavg", "model.input": "statistics"}).by_method["fedavg"]
    boundary = boundary_of(network_of(config, seed=0), "all")
    names = {f"{INPUT}.{name}" for name in ("images", "mean", "deviation")}
    assert set(boundary.private) == names


def with_input(kind: str = "statistics") -> nn.Sequential:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    add_input(model, kind, 4)
    # The layer is called before the others and is none of their row.
    model.forward = lambda x: model[1](model[0](x))  # type: ignore[method-assign]
    return model


def image_round(model: nn.Module, **more: object) -> Any:
    """Return a round of elm, one of two hospitals: two batches of four images of 4 x 4 pixels."""
    round = toy_round(model, 2, **more)
    shown = [batch._replace(x=images(4, 4, k)) for k, batch in enumerate(round.batches())]
    config = replace(round.config, sites=("ash", "elm"))
    return replace(round, batches=lambda: iter(shown), config=config, site="elm")


def sent_of(mean: float, deviation: float, known: float) -> dict[str, object]:
    """Return what both hospitals are told if all have the same statistics."""
    tables = {"images/mean": torch.full((2, 3), mean)}
    tables |= {"images/deviation": torch.full((2, 3), deviation)}
    return {**tables, "images/known": torch.full((2,), known)}


def test_fedrdn_with_equal_statistics_of_0_and_1_is_fedavg_to_the_bit() -> None:
    model = with_input()
    plain = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    plain.load_state_dict({n: t for n, t in model.state_dict().items() if INPUT not in n})
    outcome = fedrdn.site(image_round(model, sent=sent_of(0.0, 1.0, known=1.0)))
    assert outcome.trained == image_round(plain).fit()
    assert torch.equal(model[1].weight, plain[1].weight)
    assert model.get_submodule(INPUT).others is None


def test_a_hospital_fills_its_own_slot_and_no_other() -> None:
    model = with_input()
    released = fedrdn.site(image_round(model, sent=sent_of(0.0, 0.0, known=0.0))).released
    layer = model.get_submodule(INPUT)
    assert released["images/known"].tolist() == [0.0, 1.0]  # elm comes after ash
    assert not released["images/mean"][0].any()
    assert torch.equal(released["images/mean"][1], layer.mean)
    assert torch.equal(released["images/deviation"][1], layer.deviation)


def test_the_server_reads_slots_by_hand() -> None:
    """Of three hospitals the second has weight 1/4 and tells 6, the third 3/4 and 8."""
    before = {
        "images/known": np.array([1.0, 0.0, 0.0]),
        "images/mean": np.array([[5.0], [0.0], [0.0]]),
        "images/deviation": np.ones((3, 1)),
    }
    mean = {
        "images/known": np.array([0.0, 0.25, 0.75]),
        "images/mean": np.array([[0.0], [1.5], [6.0]]),
        "images/deviation": np.array([[0.0], [0.5], [0.75]]),
    }
    made = fedrdn.server(ServerRound(before, mean, 1.0))
    assert made["images/known"].tolist() == [1.0, 1.0, 1.0]
    assert made["images/mean"].tolist() == [[5.0], [6.0], [8.0]]
    assert made["images/deviation"].tolist() == [[1.0], [2.0], [1.0]]


def test_in_a_run_every_hospital_is_told_the_statistics_of_each(run_tiny) -> None:
    run = run_tiny(methods="fedrdn")
    told = load_file(run.folder / "fedrdn/seed-0/round-000002.safetensors")
    assert told["images/known"].tolist() == [1.0, 1.0, 1.0]
    for k in (1, 2, 3):
        own = load_file(run.folder / f"sites/phantom-{k}/fedrdn/seed-0/round-000002.safetensors")
        expected = own[f"private/{INPUT}.mean"]
        np.testing.assert_allclose(told["images/mean"][k - 1], expected, rtol=1e-5, atol=1e-6)
    assert len({float(mean) for mean in told["images/mean"][:, 0]}) == 3


def test_what_has_no_slot_is_refused() -> None:
    with pytest.raises(UserError, match="it needs model"):
        fedrdn.groups(nn.Linear(3, 2), boundary_of(nn.Linear(3, 2), "all"), Config())
    with pytest.raises(UserError, match="set sites to"):
        slots.place_of(replace(Config(), sites=("ash",)), "elm")
    noisy = replace(Config(), privacy=replace(Config().privacy, unit="site"))
    with pytest.raises(UserError, match="drown in noise"):
        slots.slots(noisy, "fedrdn")


def test_harmofl_without_a_perturbation_is_plain_training_to_the_bit() -> None:
    torch.manual_seed(7)
    plain = nn.Linear(3, 2)
    perturbed = copy.deepcopy(plain)
    trained = toy_round(plain, 3).fit()
    assert harmofl.site(toy_round(perturbed, 3), radius=0.0).trained == trained
    states = [{n: t.numpy() for n, t in m.state_dict().items()} for m in (plain, perturbed)]
    assert_same_bits(*states)


def test_a_perturbed_step_by_hand() -> None:
    torch.manual_seed(8)
    model = nn.Linear(3, 2)
    [(x, labels, _)] = toy_round(model, 1).batches()
    there = [p.detach().clone() for p in model.parameters()]
    gradients = torch.autograd.grad(F.cross_entropy(model(x), labels), list(model.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    uphill = [(p + 0.3 * g / norm).requires_grad_() for p, g in zip(there, gradients, strict=True)]
    followed = torch.autograd.grad(F.cross_entropy(F.linear(x, *uphill), labels), uphill)
    harmofl.site(toy_round(model, 1), radius=0.3)
    for p, before, g in zip(model.parameters(), there, followed, strict=True):
        torch.testing.assert_close(p, before - 0.5 * g)


@pytest.mark.parametrize("method", ["fedrdn", "harmofl", "parallel-adapters"])
def test_an_exported_model_is_built_by_what_its_description_says(
    run_tiny, tmp_path, method: str
) -> None:
    run = run_tiny(methods=method, rounds=1, phantom__sites=2)
    weights, config = export(
        run, tmp_path / "out", site="phantom-1", method=method, seed=0, model="kept"
    )
    model = build_model(**json.loads(config.read_text())["network"])
    model.load_state_dict(load_tensors(weights))
    kept = run.folder / f"sites/phantom-1/{method}/seed-0/kept-000001.safetensors"
    assert_same_bits({n: t.numpy() for n, t in model.state_dict().items()}, load_file(kept))


def test_the_amplitude_of_a_run_travels_with_the_weights(run_tiny) -> None:
    run = run_tiny(methods="harmofl", rounds=1)
    shared = load_file(run.folder / "harmofl/seed-0/round-000001.safetensors")
    amplitude = shared[f"weights/{INPUT}.amplitude"]
    assert amplitude.shape == (3, 32, 17) and (amplitude > 0).all()
