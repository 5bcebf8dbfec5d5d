"""HBN as laws: its limits are batch norm and batch norm held still; pooled is as in one place."""

import copy

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from test_methods import toy_round
from torch import nn

from federated.config.schema import Config
from federated.exchange.sharing import as_group, boundary_of
from federated.methods import hbn
from federated.methods.hbn import HybridNorm
from federated.methods.seam import ServerRound


def filled(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm whose tensors are nothing special."""
    norm = nn.BatchNorm2d(channels)
    torch.manual_seed(0)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return norm


@pytest.mark.parametrize(("factor", "training"), [(60.0, True), (-60.0, False)])
def test_its_limits_are_batch_norm_in_training_and_batch_norm_held_still(
    factor: float, training: bool
) -> None:
    norm, x = filled(3), torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    before = copy.deepcopy(norm.state_dict())
    found = HybridNorm(norm, torch.full((3,), factor)).train()(x)
    assert all(torch.equal(norm.state_dict()[name], before[name]) for name in before)
    torch.testing.assert_close(found, norm.train(training)(x))


def test_half_way_by_hand() -> None:
    norm = nn.BatchNorm1d(1, eps=0.0)
    norm.running_mean.fill_(4.0)
    norm.running_var.fill_(3.0)
    x = torch.tensor([[1.0], [3.0]])  # mean 2, variance 1; half way 3 and 2
    found = HybridNorm(norm, torch.zeros(1)).train()(x)
    torch.testing.assert_close(found, (x - 3) / 2**0.5)


def network() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def test_a_site_sends_the_statistics_of_its_images_under_the_weights_that_arrived() -> None:
    model = network()
    arrived = copy.deepcopy(model)
    sent = as_group(hbn.groups(model, boundary_of(model, "all"), Config())["squares"], "squares")
    round = toy_round(model, 3, sent=sent)
    outcome = hbn.site(round)
    images = torch.cat([x for x, _, _ in round.batches()])
    values = arrived[0](images).detach()
    torch.testing.assert_close(model[1].running_mean, values.mean(0))
    torch.testing.assert_close(model[1].running_var, values.var(0, correction=0))
    torch.testing.assert_close(outcome.released["squares/1.running_mean"], values.mean(0) ** 2)
    assert not torch.equal(model[0].weight, arrived[0].weight)
    assert not torch.equal(model[1].weight, arrived[1].weight)
    assert set(outcome.kept) == {"1"} and outcome.kept["1"].any()
    assert all(type(m) is not HybridNorm for m in model.modules())


def test_pooled_statistics_are_those_of_all_images_in_one_place() -> None:
    generator = np.random.default_rng(0)
    sites = [generator.normal(k, 1 + k, (10 * (k + 1), 5)) for k in range(3)]
    counts = np.array([len(images) for images in sites]) / 60

    def mean(part: str) -> np.ndarray:
        of = {
            "mean": lambda images: images.mean(0),
            "var": lambda images: images.var(0),
            "square": lambda images: images.mean(0) ** 2,
        }[part]
        return sum(p * of(images) for p, images in zip(counts, sites, strict=True))

    means = {
        "weights/1.running_mean": mean("mean"),
        "weights/1.running_var": mean("var"),
        "squares/1.running_mean": mean("square"),
    }
    made = hbn.server(ServerRound({}, means, 1.0))
    everyone = np.concatenate(sites)
    np.testing.assert_allclose(means["weights/1.running_mean"], everyone.mean(0))
    np.testing.assert_allclose(made["weights/1.running_var"], everyone.var(0))
    assert made.keys() == {"weights/1.running_var", "squares/1.running_mean"}


def test_a_run_learns_the_factors_and_leaves_them_at_the_sites(run_tiny) -> None:
    run = run_tiny(methods="hbn")
    one, other = (
        load_file(run.folder / f"sites/phantom-{k}/hbn/seed-0/round-000002.safetensors")
        for k in (1, 2)
    )
    factors = [name for name in one if name.startswith("method/features.")]
    assert len(factors) == 3
    assert all(one[n].any() and (one[n] != other[n]).any() for n in factors)
