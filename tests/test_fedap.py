"""FedAP: its weights by hand, its limits, and statistics that leave once and by name."""

import numpy as np
import pandas as pd
import pytest
import torch
from flwr.app import Message
from safetensors.numpy import load_file
from test_laws import numbers
from test_messages import Tap, load_with

from federated.engine import run
from federated.methods import fedap
from federated.methods.seam import ServerRound

alone = fedap.rules_with(own=1.0)

STATISTICS = {
    "known": np.ones(3),
    "mean/a": np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]),
    "deviation/a": np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 3.0]]),
    "mean/b": np.array([[0.0], [0.0], [2.0]]),
    "deviation/b": np.array([[1.0], [2.0], [1.0]]),
}
"""Of three hospitals. d_01 = 5 + 1, d_02 = 2 + 2, d_12 = sqrt(25 + 4) + sqrt(4 + 1)."""


def test_distances_and_weights_by_hand() -> None:
    far = 29**0.5 + 5**0.5
    expected = [[0, 6, 4], [6, 0, far], [4, far, 0]]
    np.testing.assert_allclose(fedap.distances(STATISTICS, 3), expected)
    matrix = fedap.weights_of(STATISTICS, np.ones(3) > 0, own=0.4)
    # The other two share 0.6 as 1/6 to 1/4, that is as 2 to 3.
    np.testing.assert_allclose(matrix[0], [0.4, 0.24, 0.36])
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    two = fedap.weights_of(STATISTICS, np.array([True, False, True]), own=0.4)
    np.testing.assert_allclose(two, [[0.4, 0, 0.6], [0, 1, 0], [0.6, 0, 0.4]])


def test_alike_hospitals_with_equal_weights_all_get_the_mean() -> None:
    statistics = {name: np.ones_like(array) for name, array in STATISTICS.items()}
    matrix = fedap.weights_of(statistics, np.ones(3) > 0, own=1 / 3)
    np.testing.assert_allclose(matrix, np.full((3, 3), 1 / 3))


def test_the_server_mixes_slots_and_keeps_the_statistics_to_itself() -> None:
    weights = np.array([0.5, 0.3, 0.2])  # of the hospitals in the mean
    filled = {f"statistics/{name}": (array.T * weights).T for name, array in STATISTICS.items()}
    models = {
        "models/known": weights,
        "models/w": np.array([[1.0], [2.0], [3.0]]) * weights[:, None],
    }
    before = {name: np.zeros_like(array) for name, array in {**filled, **models}.items()}
    made = fedap.server(ServerRound(before, {**filled, **models}, 1.0), own=0.4)
    assert made["models/w"][0] == pytest.approx(0.4 * 1 + 0.24 * 2 + 0.36 * 3)
    assert made["models/known"].tolist() == [1, 1, 1]
    assert not any(made[name].any() for name in made if name.startswith("statistics/"))
    np.testing.assert_allclose(made["memory/mean/a"], STATISTICS["mean/a"])

    # In the next round nobody tells statistics, and they are as they were.
    silent = {**{name: np.zeros_like(array) for name, array in filled.items()}, **models}
    memory = {name: array for name, array in made.items() if name.startswith("memory/")}
    again = fedap.server(ServerRound(before, silent, 1.0, memory=memory), own=0.4)
    np.testing.assert_allclose(again["models/w"], made["models/w"])


def test_a_hospital_that_trusts_itself_alone_is_alone(run_tiny) -> None:
    run = run_tiny(methods="local,fedap", rounds=3, method__fedap__code="test_fedap:alone")
    expected, found = (
        rows[(rows["model"] == "current") & (rows["split"] == "val")].reset_index(drop=True)
        for rows in (numbers(run, "local"), numbers(run, "fedap"))
    )
    # Slots are weighed and unweighed on the way, which costs a rounding.
    pd.testing.assert_frame_equal(expected, found, check_exact=False, rtol=1e-3, atol=1e-3)


def released(message: Message, name: str) -> np.ndarray:
    group, _, rest = name.partition("/")
    return message.content.array_records[group][rest].numpy()


def test_statistics_leave_after_the_first_round_alone_and_go_to_nobody(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = Tap()
    monkeypatch.setattr("federated.engine.running.load_app", load_with(tap))
    run(tiny(methods="fedap", phantom__sites=2))
    name = "statistics/mean/features.0.1"
    ups = [m for m in tap.up if "statistics" in m.content.array_records]
    downs = [m for m in tap.down if "statistics" in m.content.array_records]
    assert [bool(released(m, name).any()) for m in ups] == [True, True, False, False]
    assert len(downs) == 8 and not any(released(m, name).any() for m in downs)


def test_each_hospital_uses_its_own_slot(run_tiny) -> None:
    run = run_tiny(methods="fedap")
    sent = load_file(run.folder / "fedap/seed-0/round-000002.safetensors")
    slots = sent["models/features.0.0.weight"]
    assert torch.from_numpy(slots).isfinite().all() and len(slots) == 3
    for k in (1, 2, 3):
        kept = load_file(run.folder / f"sites/phantom-{k}/fedap/seed-0/kept-000002.safetensors")
        np.testing.assert_array_equal(kept["features.0.0.weight"], slots[k - 1])
    assert (slots[0] != slots[1]).any()
