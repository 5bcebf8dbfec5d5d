"""The split of shared and private: by module type, complete, exact, invertible."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import DenseNet121, EfficientNetBN, resnet18
from networks import mobilenet_v2, vgg11_bn
from torch import nn

from federated.errors import UserError
from federated.exchange.sharing import boundary_of, group, join, private_part, release
from federated.learning.models import build_model

NETWORKS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "resnet18": (
        100,
        lambda: resnet18(pretrained=False, spatial_dims=2, n_input_channels=3, num_classes=2),
    ),
    "densenet121": (605, lambda: DenseNet121(spatial_dims=2, in_channels=3, out_channels=2)),
    "mobilenet_v2": (260, mobilenet_v2),
    "efficientnet_b0": (
        245,
        lambda: EfficientNetBN(
            "efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=3, num_classes=2
        ),
    ),
    "vgg11_bn": (40, vgg11_bn),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_conv_keeps_every_batch_norm_tensor_and_no_other(name: str) -> None:
    count, make = NETWORKS[name]
    model = make()
    boundary = boundary_of(model, "conv")
    # The reference is independent of names and of our walk: tensors found by identity.
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    owned = {id(t) for m in norms for t in (*m.parameters(), *m.buffers())}
    expected = {n for n, t in model.state_dict(keep_vars=True).items() if id(t) in owned}
    assert set(boundary.private) == expected
    assert len(boundary.private) == count


@pytest.mark.parametrize("name", NETWORKS)
def test_silobn_keeps_three_of_the_five_tensors(name: str) -> None:
    count, make = NETWORKS[name]
    boundary = boundary_of(make(), "silobn")
    assert len(boundary.private) == count * 3 // 5
    leaves = {tensor.rpartition(".")[2] for tensor in boundary.private}
    assert leaves == {"running_mean", "running_var", "num_batches_tracked"}


@pytest.mark.parametrize("policy", ["conv", "silobn", "backbone", "all", "nothing"])
@pytest.mark.parametrize("name", ["covidnet", "covidnet-original", "convnet"])
def test_join_is_the_inverse_of_the_split(name: str, policy: str) -> None:
    model = build_model(name, width=0.125, image_size=64, norm="batch", generator_seed=1)
    boundary = boundary_of(model, policy, model.heads)
    state = model.state_dict()
    joined = join(group(release(state, boundary).tensors, "weights"), private_part(state, boundary))
    assert joined.keys() == state.keys()
    for key, tensor in state.items():
        assert torch.equal(joined[key], tensor) and joined[key].dtype == tensor.dtype


def test_all_shares_all_and_nothing_shares_nothing() -> None:
    model = vgg11_bn()
    assert not boundary_of(model, "all").private
    assert not boundary_of(model, "nothing").shared
    assert boundary_of(model, "nothing").private == tuple(model.state_dict())


def test_shared_of_covidnet_is_literally_the_conv_weights() -> None:
    model = build_model("covidnet", width=0.125, image_size=64, norm="batch", generator_seed=1)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    owned = {id(t) for m in convs for t in m.parameters()}
    state = model.state_dict(keep_vars=True)
    assert set(boundary_of(model, "conv").shared_names) == {
        n for n, t in state.items() if id(t) in owned
    }


def test_backbone_keeps_heads_whole() -> None:
    model = build_model("covidnet", width=0.125, image_size=64, norm="batch", generator_seed=1)
    shared = boundary_of(model, "backbone", model.heads).shared_names
    assert shared and not [n for n in shared if n.startswith(("classifier.", "projection."))]
    conv = boundary_of(model, "conv").shared_names
    assert [n for n in conv if not n.startswith(("classifier.", "projection."))] == list(shared)


def test_heads_are_matched_as_modules_and_not_as_prefixes() -> None:
    model = nn.ModuleDict({"head": nn.Linear(2, 2), "head2": nn.Linear(2, 2)})
    assert boundary_of(model, "backbone", ["head"]).shared_names == ("head2.weight", "head2.bias")
    with pytest.raises(UserError, match="no submodule 'tail'"):
        boundary_of(model, "backbone", ["tail"])
    with pytest.raises(UserError, match=r"model\.heads"):
        boundary_of(model, "backbone")


class FrozenNorm(nn.Module):
    """A batch norm that is none of torch's types, as detection libraries have."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.ones(3))


def test_foreign_and_other_kinds_of_batch_norm_are_private() -> None:
    model = nn.ModuleDict(
        {
            "a": FrozenNorm(),
            "b": nn.BatchNorm1d(3),
            "c": nn.BatchNorm3d(3),
            "d": nn.SyncBatchNorm(3),
            "e": nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
            "f": nn.GroupNorm(1, 3),
            "g": nn.LayerNorm(3),
            "bn": nn.Linear(3, 3),
        }
    )
    shared = boundary_of(model, "conv").shared_names
    assert {name.split(".")[0] for name in shared} == {"f", "g", "bn"}


def test_a_norm_that_is_the_whole_network_or_appears_twice_is_private() -> None:
    assert not boundary_of(nn.BatchNorm2d(3), "conv").shared
    norm = nn.BatchNorm2d(3)
    twice = nn.ModuleDict({"first": norm, "second": norm})
    assert not boundary_of(twice, "conv").shared


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["conv", "norm", "relu", "nest"]), min_size=1, max_size=8))
def test_split_of_any_stack(kinds: list[str]) -> None:
    make = {
        "conv": lambda: nn.Conv2d(3, 3, 1),
        "norm": lambda: nn.BatchNorm2d(3),
        "relu": nn.ReLU,
        "nest": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)),
    }
    model = nn.Sequential(*(make[kind]() for kind in kinds))
    boundary = boundary_of(model, "conv")
    norms = sum(kind in ("norm", "nest") for kind in kinds)
    convs = sum(kind in ("conv", "nest") for kind in kinds)
    assert (len(boundary.private), len(boundary.shared)) == (5 * norms, 2 * convs)


def test_release_refuses_what_the_boundary_does_not_admit() -> None:
    model = nn.Linear(2, 2)
    boundary = boundary_of(model, "all")
    with pytest.raises(ValueError, match="weight"):
        release({"weight": torch.zeros(3, 3), "bias": torch.zeros(2)}, boundary)
    with pytest.raises(ValueError, match="weight"):
        release({"weight": torch.zeros(2, 2).double(), "bias": torch.zeros(2)}, boundary)


def test_release_is_a_copy() -> None:
    model = nn.Linear(2, 2)
    released = release(model.state_dict(), boundary_of(model, "all"))
    released.tensors["weights/weight"].zero_()
    assert model.weight.abs().sum() > 0


def test_join_refuses_a_tensor_on_both_sides() -> None:
    with pytest.raises(ValueError, match="both"):
        join({"a": torch.zeros(1)}, {"a": torch.zeros(1)})
