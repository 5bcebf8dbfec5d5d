"""Laws that hold for whole runs, to the bit: the same numbers by two different ways."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from torch import Tensor, nn

from federated.runs.reading import Run

MEASURED = ["seconds", "bytes_up", "bytes_down"]
"""What may differ between two runs of the same bits."""


def numbers(run: Run, method: str) -> pd.DataFrame:
    """Return everything a method computed, without what a clock or the wire decides."""
    rows = run.metrics[(run.metrics.method == method) & ~run.metrics.metric.isin(MEASURED)]
    return rows.drop(columns=["method"]).reset_index(drop=True)


def shared(run: Run, method: str) -> dict[str, np.ndarray]:
    return load_file(run.folder / method / "seed-0" / "round-000002.safetensors")


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys() and a
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


def test_fedprox_without_pull_is_fedavg(run_tiny) -> None:
    run = run_tiny(methods="fedavg,fedprox", method__fedprox__train__proximal_mu=0)
    assert_same_bits(shared(run, "fedavg"), shared(run, "fedprox"))
    pd.testing.assert_frame_equal(numbers(run, "fedavg"), numbers(run, "fedprox"), check_exact=True)


def test_fedprox_with_pull_is_not_fedavg(run_tiny) -> None:
    run = run_tiny(methods="fedavg,fedprox", method__fedprox__train__proximal_mu=1)
    a, b = shared(run, "fedavg"), shared(run, "fedprox")
    assert any(a[name].tobytes() != b[name].tobytes() for name in a)


@pytest.mark.parametrize("norm", ["group", "none"])
def test_fedbn_without_batch_norm_is_fedavg(run_tiny, norm: str) -> None:
    run = run_tiny(methods="fedavg,fedbn,silobn", model__norm=norm)
    for other in ("fedbn", "silobn"):
        assert_same_bits(shared(run, "fedavg"), shared(run, other))
        expected, found = numbers(run, "fedavg"), numbers(run, other)
        pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_one_site_is_local_training(run_tiny) -> None:
    # local last, so that the others have no own model to choose among theirs.
    run = run_tiny(methods="fedavg,fedbn,local", phantom__sites=1)
    for method in ("fedavg", "fedbn"):
        expected, found = numbers(run, "local"), numbers(run, method)
        pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_contrast_of_weight_zero_is_fedbn(run_tiny) -> None:
    run = run_tiny(methods="fedbn,contrastive", method__contrastive__contrast__weight=0)
    assert_same_bits(shared(run, "fedbn"), shared(run, "contrastive"))


AS_CONTRASTIVE = {
    "method__consilium__bn__recalibrate": "false",
    "method__consilium__sharing__policy": "conv",
    "method__consilium__contrast__objective": "nt-xent",
    "method__consilium__contrast__weight": 1,
    "method__consilium__contrast__temperature": 0.05,
}
"""What makes ``consilium`` the method ``contrastive`` with a memory."""


def test_memory_that_never_warms_up_is_in_batch_contrast(run_tiny) -> None:
    warmup = {"method__consilium__contrast__warmup_rounds": 99}
    run = run_tiny(methods="contrastive,consilium", **AS_CONTRASTIVE, **warmup)
    assert_same_bits(shared(run, "contrastive"), shared(run, "consilium"))


def test_memory_changes_training_once_warm(run_tiny) -> None:
    run = run_tiny(methods="contrastive,consilium", **AS_CONTRASTIVE)
    a, b = shared(run, "contrastive"), shared(run, "consilium")
    assert any(a[name].tobytes() != b[name].tobytes() for name in a)


def test_two_runs_are_the_same_and_another_seed_is_not(run_tiny) -> None:
    first, second = run_tiny("a", methods="consilium"), run_tiny("b", methods="consilium")
    assert_same_bits(shared(first, "consilium"), shared(second, "consilium"))
    expected, found = numbers(first, "consilium"), numbers(second, "consilium")
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    other = run_tiny("c", methods="consilium", seeds=1)
    path = Path("consilium") / "seed-1" / "round-000002.safetensors"
    a, b = shared(first, "consilium"), load_file(other.folder / path)
    assert any(a[name].tobytes() != b[name].tobytes() for name in a)


def test_a_site_alone_does_not_depend_on_who_else_is_there(run_tiny) -> None:
    few = run_tiny("few", methods="local", phantom__sites=2)
    many = run_tiny("many", methods="local", phantom__sites=3)
    pair = ["phantom-1", "phantom-2"]
    expected = numbers(few, "local").sort_values(["round", "site"], kind="stable")
    found = numbers(many, "local").sort_values(["round", "site"], kind="stable")
    found = found[found.site.isin(pair)]
    pd.testing.assert_frame_equal(
        expected.reset_index(drop=True), found.reset_index(drop=True), check_exact=True
    )


def test_server_optimizer_with_lr_one_and_no_memory_is_the_mean(run_tiny) -> None:
    run = run_tiny(
        methods="fedavg,fedavgm",
        method__fedavgm__base="fedavg",
        method__fedavgm__server__optimizer="momentum",
        method__fedavgm__server__momentum=0,
    )
    a, b = shared(run, "fedavg"), shared(run, "fedavgm")
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-7)


def test_a_federation_of_single_sgd_steps_is_pooled_training(run_tiny) -> None:
    """The mean of the sites' steps is the step on the mean of their gradients."""
    pooled = {"sharing__policy": "silobn", "train__batch_size": 24}
    run = run_tiny(
        methods="silobn,pooled-bn",
        rounds=6,
        train__optimizer="sgd",
        train__momentum=0,
        train__lr=0.05,
        train__clip_norm=0,
        train__max_steps=1,
        server__weighting="uniform",
        **{f"method__pooled-bn__{key}": value for key, value in pooled.items()},
    )
    file = Path("seed-0") / "round-000006.safetensors"
    a, b = (load_file(run.folder / method / file) for method in ("silobn", "pooled-bn"))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=2e-6, err_msg=name)
    losses = run.metrics.query("metric == 'loss' and split == 'val' and model == 'current'")
    table = losses.pivot_table(index=["round", "site"], columns="method", values="value")
    np.testing.assert_allclose(table["silobn"], table["pooled-bn"], atol=2e-5)
    assert (table.loc[6, "silobn"] - table.loc[1, "silobn"]).abs().max() > 0.01  # it trains


class HeadsAlone(nn.Module):
    """A network that is all head."""

    heads = ("net",)

    def __init__(self) -> None:
        super().__init__()
        body = [nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
        self.net = nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 2))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        return logits


def test_fedper_on_a_network_of_heads_is_local_training(run_tiny) -> None:
    run = run_tiny(methods="fedper,local", model__name=f"{__name__}:HeadsAlone")
    expected, found = numbers(run, "local"), numbers(run, "fedper")
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_fedper_shares_all_but_the_heads(run_tiny) -> None:
    run = run_tiny(methods="fedavg,fedper")
    whole, body = shared(run, "fedavg"), shared(run, "fedper")
    heads = {
        name for name in whole if name.startswith(("weights/classifier", "weights/projection"))
    }
    assert heads and body.keys() == whole.keys() - heads
    assert any("running_mean" in name for name in body)
