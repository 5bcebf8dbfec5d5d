"""What is private is a composition, and right on networks whose types do not tell what they do."""

import copy
import random
from collections.abc import Callable
from itertools import combinations

import numpy as np
import peculiar
import pytest
import torch
from torch import nn

from federated.errors import UserError
from federated.exchange.norms import Watched
from federated.exchange.sharing import Boundary, Constant, boundary_of, constant_part, private_part
from federated.learning.models import build_model
from federated.learning.watching import watch

CONVOLUTIONS = {"conv.weight", "second.weight", "second.bias", "head.weight", "head.bias"}


def seeded(factory: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return factory()

    return make


def watched(factory: Callable[[], nn.Module]) -> Watched:
    with torch.random.fork_rng():
        return watch(seeded(factory), 32)


def bound(factory: Callable[[], nn.Module], policy: str, **settings: tuple[str, ...]) -> Boundary:
    model = seeded(factory)()
    return boundary_of(model, policy, ("head",), watched=watched(factory), **settings)


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        ("conv", ("norm",)),
        ("conv", ("norm-statistics", "norm-affine")),
        ("silobn", ("norm-statistics",)),
        ("backbone", ("norm", "heads")),
        ("nothing", ("all",)),
        ("all", ()),
    ],
)
def test_a_policy_is_short_for_kinds(policy: str, kinds: tuple[str, ...]) -> None:
    model = build_model("convnet", width=0.25, image_size=32, norm="batch", generator_seed=0)
    expected = boundary_of(model, policy, model.heads)
    assert boundary_of(model, "all", model.heads, private=kinds) == expected


def test_kinds_compose_as_the_union_of_what_they_keep() -> None:
    model = build_model("convnet", width=0.25, image_size=32, norm="batch", generator_seed=0)

    def kept(*kinds: str) -> set[str]:
        return set(boundary_of(model, "all", model.heads, private=kinds).private)

    kinds = ("norm-affine", "norm-statistics", "heads")
    alone = {kind: kept(kind) for kind in kinds}
    assert all(alone.values()) and not alone["norm-affine"] & alone["norm-statistics"]
    for first, second in combinations(kinds, 2):
        assert kept(first, second) == alone[first] | alone[second]
    assert kept(*kinds) == set.union(*alone.values())


def test_names_are_of_submodules_or_tensors_and_not_prefixes() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "ab": nn.Linear(2, 2)})
    assert boundary_of(model, "all", private=("a",)).shared_names == ("ab.weight", "ab.bias")
    assert boundary_of(model, "all", private=("ab.bias",)).private == ("ab.bias",)
    with pytest.raises(UserError, match=r"sharing.private = ab.bais.*did you mean 'ab.bias'"):
        boundary_of(model, "all", private=("ab.bais",))
    with pytest.raises(UserError, match=r"sharing.shared = norm: that is not"):
        boundary_of(model, "all", shared=("norm",))


def test_a_shared_name_goes_before_a_kind_and_never_before_a_private_name() -> None:
    model = peculiar.plain()
    assert "norm.bias" in boundary_of(model, "conv", shared=("norm.bias",)).shared_names
    with pytest.raises(UserError, match=r"norm.bias is in sharing.private and in sharing.shared"):
        boundary_of(model, "all", private=("norm",), shared=("norm.bias",))


JUDGED = {
    "Tied": CONVOLUTIONS,
    "parametrized": CONVOLUTIONS,
    "functional": CONVOLUTIONS,
    "functional_instance": CONVOLUTIONS,
    "scaled_after": CONVOLUTIONS,
    "observed": CONVOLUTIONS,
    "Masked": CONVOLUTIONS,
    "Spectral": CONVOLUTIONS - {"head.weight"} | {"head.parametrizations.weight.original"},
}


@pytest.mark.parametrize("name", JUDGED)
def test_conv_shares_the_convolutions_alone(name: str) -> None:
    assert set(bound(getattr(peculiar, name), "conv").shared_names) == JUDGED[name]


@pytest.mark.parametrize("name", ["Tied", "functional", "functional_instance", "scaled_after"])
def test_silobn_shares_what_training_learns(name: str) -> None:
    factory = getattr(peculiar, name)
    expected = {n for n, p in factory().named_parameters(remove_duplicate=False) if p.requires_grad}
    assert set(bound(factory, "silobn").shared_names) == expected


def test_a_statistic_under_two_names_cannot_be_shared_under_the_second() -> None:
    with pytest.raises(UserError, match=r"sharing.shared names seen, which shares its memory"):
        bound(peculiar.Tied, "conv", shared=("seen",))
    assert "alias" in bound(peculiar.Tied, "conv", private=("norm.weight",)).private


def test_a_norm_written_by_hand_is_refused_until_its_scale_is_named() -> None:
    with pytest.raises(UserError, match=r"sharing.private = norm.beta,norm.gamma to keep"):
        bound(peculiar.hand_written, "conv")
    kept = bound(peculiar.hand_written, "conv", private=("norm",))
    assert set(kept.shared_names) == CONVOLUTIONS
    kept = bound(peculiar.hand_written, "conv", shared=("norm.beta", "norm.gamma"))
    assert set(kept.shared_names) == CONVOLUTIONS | {"norm.beta", "norm.gamma"}
    assert set(kept.private) == {"norm.moving_mean", "norm.moving_var"}


def test_what_training_changes_is_private_by_default_and_shared_if_named() -> None:
    for policy in ("conv", "silobn", "backbone"):
        private = bound(peculiar.observed, policy).private
        assert {"norm.min_val", "norm.max_val"} <= set(private)
    told = bound(peculiar.observed, "conv", shared=("norm.min_val",))
    assert "norm.min_val" in told.shared_names and told.private == ("norm.max_val",)


@pytest.mark.parametrize("policy", ["conv", "silobn", "backbone", "all"])
def test_constant_buffers_are_neither_sent_nor_kept(policy: str) -> None:
    boundary = bound(peculiar.Masked, policy)
    constants = {"mask", "salt", "rough", "nothing"}
    assert {constant.name for constant in boundary.constant} == constants
    state = peculiar.Masked().state_dict()
    assert constant_part(state, boundary).keys() == constants
    assert not constants & (private_part(state, boundary).keys() | set(boundary.shared_names))


def test_a_constant_that_changes_after_all_is_kept_at_the_site() -> None:
    boundary, model = bound(peculiar.Masked, "all"), peculiar.Masked()
    model.salt += 1
    assert private_part(model.state_dict(), boundary)["salt"] == 2**40 + 1
    assert isinstance(boundary.constant[0], Constant)


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (torch.bfloat16, "weight is bfloat16, of which no exact mean is taken"),
        (torch.complex64, "weight is complex64"),
        (torch.complex128, "weight is a tensor of torch.complex128.*cannot be stored"),
    ],
)
def test_a_dtype_without_an_exact_mean_is_refused_by_name(dtype: torch.dtype, message: str) -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.ones(2, dtype=dtype))
    with pytest.raises(UserError, match=message):
        boundary_of(model, "all")


def test_a_large_integer_that_is_shared_is_refused_by_name() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("count", torch.tensor(-(2**40)))
    with pytest.raises(UserError, match=r"count holds an integer.*sharing.private = count"):
        boundary_of(model, "all")
    assert boundary_of(model, "all", private=("count",)).private == ("count",)


def test_watching_changes_no_generator_and_finds_the_same_each_time() -> None:
    model = peculiar.Remembering()
    before = generators()
    first, second = (watch(lambda: copy.deepcopy(model), 32) for _ in range(2))
    assert first == second and first.statistics
    assert generators() == before


def generators() -> tuple[object, ...]:
    """Return the states of the three global generators."""
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), random.getstate(), numpy


def test_vectors_of_a_power_iteration_change_but_not_by_images() -> None:
    seen = watched(peculiar.Spectral)
    vectors = {f"head.parametrizations.weight.0._{letter}" for letter in "uv"}
    assert vectors <= seen.changed and not seen.by_data
