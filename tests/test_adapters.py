"""Adapters and auxiliary branches: where they stand, what they begin as, and that they stay."""

import copy

import pytest
import torch
from safetensors.numpy import load_file
from test_laws import assert_same_bits
from test_methods import toy_round, weights
from torch import nn
from torch.nn import functional as F

from federated.config.study import parse
from federated.errors import UserError
from federated.exchange.sharing import boundary_of
from federated.learning.evaluation import outputs
from federated.learning.models import build_model
from federated.learning.models.adapters import ParallelAdapter, SeriesAdapter, add_adapters
from federated.learning.network import network_of
from federated.methods import msnet

KINDS = ("series", "parallel")


def network(name: str, kind: str = "") -> nn.Module:
    model = build_model(name, width=0.25, image_size=32, norm="batch", generator_seed=1)
    if kind:
        add_adapters(model, kind, "batch")
    return model


@pytest.mark.parametrize("name", ["convnet", "covidnet"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_begins_as_the_one_without_adapters(name: str, kind: str) -> None:
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, adapted = network(name), network(name, kind)
    assert plain.state_dict().keys() < adapted.state_dict().keys()
    for training in (True, False):
        pairs = zip(
            outputs(plain.train(training), x), outputs(adapted.train(training), x), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs if a is not None and b is not None)


def test_adapters_by_hand() -> None:
    torch.manual_seed(1)
    y = torch.randn(2, 8, 5, 5)
    series = SeriesAdapter(8, "batch").eval()
    nn.init.normal_(series.alpha[1].weight)
    matrix = series.alpha[1].weight[:, :, 0, 0]
    expected = y + torch.einsum("oi,bihw->bohw", matrix, y / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(series(y), expected)

    conv = nn.Conv2d(8, 4, 3, stride=2, padding=1)
    parallel = ParallelAdapter(conv)
    nn.init.normal_(parallel.alpha.weight)
    matrix = parallel.alpha.weight[:, :, 0, 0]
    expected = torch.einsum("oi,bihw->bohw", matrix, y[:, :, ::2, ::2])
    torch.testing.assert_close(parallel(y), expected)
    plain = conv(y)
    holder = nn.Sequential(conv)
    add_adapters(holder, "parallel", "batch")
    nn.init.normal_(conv.adapter.alpha.weight)
    torch.testing.assert_close(holder(y), plain + conv.adapter(y))


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_a_network_calls_its_own_adapters(kind: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    model = network("convnet", kind).eval()
    other = copy.deepcopy(model)
    before = outputs(model, x)[0]
    for name, p in other.named_parameters():
        if "adapter" in name:
            nn.init.normal_(p)
    assert torch.equal(outputs(model, x)[0], before)
    assert not torch.equal(outputs(other, x)[0], before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["all", "conv", "silobn", "backbone"])
def test_adapters_are_private_under_any_policy(kind: str, policy: str) -> None:
    model = network("covidnet", kind)
    boundary = boundary_of(model, policy, model.heads)
    adapters = {name for name in model.state_dict() if ".adapter." in name}
    without = network("covidnet")
    assert len(adapters) >= 17 and adapters <= set(boundary.private)
    assert set(boundary.shared_names) == set(
        boundary_of(without, policy, without.heads).shared_names
    )


def test_adapters_stand_beside_each_convolution_that_looks_around() -> None:
    """The stem and the depthwise ones of the 16 PEPX, and neither the 1x1 nor the heads' 2x2."""
    model = network("covidnet", "parallel")
    paths = [path for path, m in model.named_modules() if isinstance(m, ParallelAdapter)]
    assert len(paths) == 1 + 16 and not [p for p in paths if not p.startswith("backbone.")]


def test_a_network_without_a_place_for_adapters_is_refused() -> None:
    with pytest.raises(UserError, match="there is none to adapt"):
        add_adapters(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 2)), "series", "batch")


def test_first_weights_of_a_network_without_adapters_fit_one_with_them(run_tiny, tiny) -> None:
    run = run_tiny(methods="fedbn", rounds=1)
    start = run.folder / "fedbn" / "seed-0" / "shared.safetensors"
    given = tiny("other", methods="parallel-adapters", model__start=start)
    model = network_of(parse(given).by_method["parallel-adapters"], seed=0)
    tensors = load_file(start)
    state = model.state_dict()
    assert tensors and all((state[n].numpy() == tensor).all() for n, tensor in tensors.items())


@pytest.mark.parametrize("kind", KINDS)
def test_hospitals_adapters_part_and_the_rest_is_one(run_tiny, kind: str) -> None:
    """In pooled training, too, where all are in one process: adapters of different sites differ."""
    method = f"pooled-{kind}-adapters"
    run = run_tiny(methods=method)
    one, other = (
        load_file(run.folder / f"sites/phantom-{k}/{method}/seed-0/round-000002.safetensors")
        for k in (1, 2)
    )
    adapters = [name for name in one if name.endswith("alpha.weight") or "alpha.1" in name]
    assert len(adapters) == 3
    assert all(one[name].any() and (one[name] != other[name]).any() for name in adapters)


bystander = msnet.rules_with(auxiliary=0.0, transfer=0.0)


def test_ms_net_without_its_terms_is_fedbn_to_the_bit(run_tiny) -> None:
    run = run_tiny(methods="fedbn,ms-net", **{"method__ms-net__code": "test_adapters:bystander"})
    assert_same_bits(weights(run, "fedbn", 2), weights(run, "ms-net", 2))


def body_and_classifier() -> nn.Sequential:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model.heads = ("1",)  # type: ignore[assignment]
    return model


def test_one_step_of_ms_net_by_hand() -> None:
    model = body_and_classifier()
    torch.manual_seed(6)
    auxiliary = nn.Linear(4, 2)
    [(x, labels, _)] = toy_round(model, 1).batches()
    features = model[0](x)
    said = auxiliary(features).argmax(dim=1)
    assert not torch.equal(said, labels)
    loss = F.cross_entropy(model[1](features), labels)
    loss = loss + F.cross_entropy(auxiliary(features), labels)
    loss = loss + F.cross_entropy(model[1](features), said)
    parameters = [*model.parameters(), *auxiliary.parameters()]
    gradients = torch.autograd.grad(loss, parameters)
    expected = [p - 0.5 * g for p, g in zip(parameters, gradients, strict=True)]

    round = toy_round(model, 1, kept=auxiliary.state_dict())
    outcome = msnet.site(round, auxiliary=1.0, transfer=1.0)
    found = [*model.parameters(), outcome.kept["weight"], outcome.kept["bias"]]
    for p, q in zip(found, expected, strict=True):
        torch.testing.assert_close(p, q)
    assert not model[1]._forward_pre_hooks
    assert outcome.trained.terms.keys() == {"cross_entropy", "auxiliary", "transfer"}


def test_ms_net_needs_to_know_the_classifier() -> None:
    with pytest.raises(UserError, match="set model"):
        msnet.site(toy_round(nn.Linear(3, 2), 1), auxiliary=1, transfer=1)
