"""APFL as laws: its limits are FedAvg and local training, and its alpha goes down the gradient."""

import copy
from dataclasses import replace
from functools import partial
from itertools import islice

import pandas as pd
import pytest
import torch
from test_laws import assert_same_bits, numbers
from test_methods import toy_round, weights
from torch import nn
from torch.nn import functional as F

from federated.methods import apfl
from federated.methods.seam import Arrived, Outcome

alone = apfl.rules_with(start=1.0, rate=0.0)
shared = apfl.rules_with(start=0.0, rate=0.0)


def test_beside_the_mixture_the_federation_trains_as_fedavg_to_the_bit(run_tiny) -> None:
    run = run_tiny(methods="fedavg,apfl")
    assert_same_bits(weights(run, "fedavg", 2), weights(run, "apfl", 2))


def test_a_mixture_of_the_own_model_alone_is_local_training(run_tiny) -> None:
    run = run_tiny(methods="local,apfl", method__apfl__code="test_mixtures:alone")
    expected, found = (
        rows[rows["model"].isin(["current", "kept"]) & (rows["split"] != "train")]
        for rows in (numbers(run, "local"), numbers(run, "apfl"))
    )
    pd.testing.assert_frame_equal(
        expected.reset_index(drop=True), found.reset_index(drop=True), check_exact=True
    )


def test_a_mixture_without_the_own_model_is_fedavg(run_tiny) -> None:
    """With group norm, since the statistics of batch norm would be the site's own."""
    code = {"method__apfl__code": "test_mixtures:shared"}
    run = run_tiny(methods="fedavg,apfl", model__norm="group", **code)
    expected, found = (
        rows[rows["model"].isin(["current", "kept"]) & (rows["split"] != "train")]
        for rows in (numbers(run, "fedavg"), numbers(run, "apfl"))
    )
    pd.testing.assert_frame_equal(
        expected.reset_index(drop=True), found.reset_index(drop=True), check_exact=True
    )


def linear(weight: float) -> nn.Linear:
    model = nn.Linear(3, 2)
    for p in model.parameters():
        nn.init.constant_(p, weight)
    return model


def test_one_step_of_apfl_by_hand() -> None:
    """w, v and alpha each go down the gradient, at what they were before the step."""
    torch.manual_seed(1)
    w, v = nn.Linear(3, 2), nn.Linear(3, 2)
    [(x, labels, _)] = toy_round(w, 1).batches()
    alpha = torch.tensor(0.25, requires_grad=True)
    mixed = [
        (alpha * a + (1 - alpha) * b.detach())
        for a, b in zip(v.parameters(), w.parameters(), strict=True)
    ]
    loss = F.cross_entropy(F.linear(x, *mixed), labels)
    of_v = torch.autograd.grad(loss, [*v.parameters(), alpha])
    of_w = torch.autograd.grad(F.cross_entropy(w(x), labels), list(w.parameters()))
    expected_w = [p - 0.5 * g for p, g in zip(w.parameters(), of_w, strict=True)]
    expected_v = [p - 0.5 * g for p, g in zip(v.parameters(), of_v[:2], strict=True)]

    kept = {**apfl.parts_of(v), "alpha": torch.tensor(0.25)}
    outcome = apfl.site(toy_round(w, 1, kept=kept), start=0.9, rate=0.1)
    for p, expected in zip(w.parameters(), expected_w, strict=True):
        torch.testing.assert_close(p, expected)
    names = ("own/weight", "own/bias")
    for name, expected in zip(names, expected_v, strict=True):
        torch.testing.assert_close(outcome.kept[name], expected)
    torch.testing.assert_close(outcome.kept["alpha"], 0.25 - 0.1 * 0.5 * of_v[2])
    # Equation 10: alpha's gradient is that of the mixture times v - w.
    assert outcome.trained.terms.keys() == {"cross_entropy", "mixture"}


def test_alpha_moves_once_a_round_and_stays_a_share() -> None:
    torch.manual_seed(2)
    w, start = nn.Linear(3, 2), {**apfl.parts_of(nn.Linear(3, 2)), "alpha": torch.tensor(0.5)}

    def ended(steps: int, rate: float) -> Outcome:
        round = toy_round(copy.deepcopy(w), 4, kept=start)
        shorter = replace(round, batches=lambda: islice(round.batches(), steps))
        return apfl.site(shorter, start=0.5, rate=rate)

    ends = [ended(steps, rate) for rate in (1e-3, 1e6) for steps in (1, 4)]
    slow, slow_too, fast, fast_too = (float(outcome.kept["alpha"]) for outcome in ends)
    assert slow == slow_too != 0.5
    assert fast == fast_too == (slow > 0.5)


def test_a_site_uses_the_mixture_with_the_weights_that_arrive() -> None:
    own = {**apfl.parts_of(linear(3.0)), "alpha": torch.tensor(0.25)}
    mixed = apfl.mixed_network(Arrived(linear(1.0).state_dict(), {}, own))
    assert set(mixed) == {"weight", "bias"}
    assert all((tensor == 1.5).all() for tensor in mixed.values())


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_rate_of_zero_leaves_alpha_alone(rate: float) -> None:
    torch.manual_seed(3)
    rule = partial(apfl.site, start=0.5, rate=rate)
    first = rule(toy_round(nn.Linear(3, 2), 3))
    assert first.kept["alpha"] == 0.5  # v is w in the first step, so the gradient is 0
    again = rule(toy_round(nn.Linear(3, 2), 3, kept=first.kept))
    assert (again.kept["alpha"] == 0.5) == (rate == 0.0)
