"""The server's rules by hand: the mean, its optimisers, the method's own groups, late updates."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from federated.config.server import Server
from federated.config.study import parse
from federated.engine import run
from federated.errors import UserError
from federated.methods.seam import ServerRound
from federated.runs.reading import load
from server.cell import RunStoppedError
from server.optimizers import OPTIMIZERS
from server.rules import NotFiniteError, ServerState, step, weighted_sum
from server.updates import moved

Arrays = dict[str, npt.NDArray[Any]]


def one(value: float, dtype: type = np.float32) -> Arrays:
    """Return weights of one tensor of one number."""
    return {"weights/w": np.array([value], dtype)}


def after(state: ServerState, mean: float, settings: Server) -> ServerState:
    return step(state, one(mean, np.float64), settings)


def test_the_weighted_mean_by_hand() -> None:
    parts = [({"w": np.array([1.0, 2.0])}, 1), ({"w": np.array([5.0, 6.0])}, 3)]
    assert weighted_sum(parts, by_examples=True).mean()["w"].tolist() == [4.0, 5.0]
    assert weighted_sum(parts, by_examples=False).mean()["w"].tolist() == [3.0, 4.0]


def test_flower_agrees_with_the_mean() -> None:
    """Flower's own aggregation is the independent reference."""
    from flwr.app import ArrayRecord, MetricRecord, RecordDict
    from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

    generator = np.random.default_rng(0)
    sites = [(generator.normal(size=(4, 5)).astype(np.float32), n) for n in (3, 11, 7)]
    records = [
        RecordDict({"a": ArrayRecord([w]), "m": MetricRecord({"num-examples": n})})
        for w, n in sites
    ]
    theirs = aggregate_arrayrecords(records, "num-examples").to_numpy_ndarrays()[0]
    ours = weighted_sum([({"w": w}, n) for w, n in sites], by_examples=True).mean()["w"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_every_choice_of_the_setting_has_a_rule() -> None:
    choices = Server.__dataclass_fields__["optimizer"].metadata["choices"]
    assert set(OPTIMIZERS) == set(choices)


def test_integer_tensors_stay_integers() -> None:
    state = ServerState({"weights/n": np.array(4)})
    for optimizer in OPTIMIZERS:
        ended = step(state, {"weights/n": np.array(6.6)}, Server(optimizer=optimizer))
        assert ended.shared["weights/n"] == 7
        assert ended.shared["weights/n"].dtype == state.shared["weights/n"].dtype


def test_a_share_of_the_way_by_hand() -> None:
    state = ServerState(one(1.0))
    assert after(state, 3.0, Server(lr=0.25)).shared["weights/w"].tolist() == [1.5]
    assert after(state, 3.0, Server(lr=1.0)).shared["weights/w"].tolist() == [3.0]


def test_momentum_by_hand() -> None:
    """FedAvgM with beta 0.5: v1 = 1, w1 = 1; v2 = 0.5 + 1, w2 = 2.5."""
    settings = Server(optimizer="momentum", momentum=0.5, lr=1.0)
    state = after(ServerState(one(0.0)), 1.0, settings)
    assert state.shared["weights/w"].tolist() == [1.0]
    state = after(state, 2.0, settings)
    assert state.shared["weights/w"].tolist() == [2.5]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_its_own_learning_rate_no_optimiser_leaps(name: str) -> None:
    """A round that moved the sites by 0.002 must not move the server by 0.1."""
    state = after(ServerState(one(0.5)), 0.502, Server(optimizer=name))
    moved = float(state.shared["weights/w"][0]) - 0.5
    assert 0.0005 < moved < 0.01
    chosen = after(ServerState(one(0.5)), 0.502, Server(optimizer=name, lr=0.5))
    assert chosen.shared["weights/w"][0] != state.shared["weights/w"][0]


def test_adam_by_hand() -> None:
    """FedAdam: m = 0.1 d, v = 0.99 tau^2 + 0.01 d^2, w = lr m / (sqrt v + tau); then once more."""
    settings = Server(optimizer="adam", momentum=0.9, lr=0.01)
    state = after(ServerState(one(0.0, np.float64)), 2.0, settings)
    m, v = 0.1 * 2.0, 0.99 * 1e-6 + 0.01 * 4.0
    w = 0.01 * m / (np.sqrt(v) + 1e-3)
    np.testing.assert_allclose(state.shared["weights/w"], [w], rtol=1e-12)
    state = after(state, 1.0, settings)
    m, v = 0.9 * m + 0.1 * (1.0 - w), 0.99 * v + 0.01 * (1.0 - w) ** 2
    w += 0.01 * m / (np.sqrt(v) + 1e-3)
    np.testing.assert_allclose(state.shared["weights/w"], [w], rtol=1e-12)


FLOWERS = {
    "fedavgm": ("FedAvgM", {"server_learning_rate": 1.0, "server_momentum": 0.9}),
    "fedadam": ("FedAdam", {"eta": 0.01}),
    "fedyogi": ("FedYogi", {"eta": 0.01}),
    "fedadagrad": ("FedAdagrad", {"eta": 0.01}),
}


@pytest.mark.parametrize("method", FLOWERS)
def test_flowers_strategies_take_the_servers_steps(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower's v begins at 0, the paper's and ours at tau^2; its Adam corrects m and v for that."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
    from flwr.serverapp import strategy as flower

    name, arguments = FLOWERS[method]
    theirs = getattr(flower, name)(**arguments)
    before = np.array([0.5, -1.0, 0.0])
    if name != "FedAvgM":
        theirs.v_t = {"w": np.full(3, 1e-6)}
    state = ServerState({"weights/w": before})
    settings = server_of(method)
    monkeypatch.setattr(flower.FedAvg, "configure_train", lambda *_: [])
    for number, change in enumerate(([0.2, 1e-3, 0.0], [-0.1, 1e-3, 3.0], [1e-4, 0.5, -2.0]), 1):
        mean = state.shared["weights/w"] + np.array(change)
        aggregated = ArrayRecord({"w": Array(mean)}), MetricRecord()
        monkeypatch.setattr(flower.FedAvg, "aggregate_train", lambda *_, a=aggregated: a)
        if name == "FedAdam":
            theirs.eta = 0.01 * (1 - 0.9 ** (number + 1)) / np.sqrt(1 - 0.99 ** (number + 1))
        arrived = ArrayRecord({"w": Array(state.shared["weights/w"])})
        theirs.configure_train(number, arrived, ConfigRecord(), None)
        expected = theirs.aggregate_train(number, [])[0]["w"].numpy()
        state = step(state, {"weights/w": mean}, settings)
        np.testing.assert_allclose(state.shared["weights/w"], expected, rtol=1e-12)


def server_of(method: str) -> Server:
    """Return the settings of the server of a method."""
    return parse({"methods": [method]}).by_method[method].server


BEFORE = {**one(1.0), "control/w": np.array([0.5], np.float32)}
MEAN = {**one(3.0, np.float64), "control/w": np.array([2.0])}


def test_a_methods_groups_go_through_its_own_rule_and_not_the_optimizer() -> None:
    def rule(round: ServerRound) -> Arrays:
        assert round.before is BEFORE and round.mean is MEAN
        return {"control/w": round.before["control/w"] + round.share * round.mean["control/w"]}

    settings = Server(optimizer="momentum", lr=0.5)
    state = step(ServerState(BEFORE), MEAN, settings, share=0.25, rule=rule)
    assert {name: array.tolist() for name, array in state.shared.items()} == {
        "weights/w": [2.0],
        "control/w": [1.0],
    }
    assert list(state.optimizer) == ["first/weights/w"]
    assert {array.dtype for array in state.shared.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (None, "other tensors than its beginning: control/w"),
        (lambda round: {}, "other tensors than its beginning: control/w"),
        (
            lambda round: {"control/w": np.zeros(2)},
            r"control/w has the shape \(2,\) and had \(1,\)",
        ),
    ],
)
def test_a_group_that_its_rule_forgets_is_an_error(rule: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        step(ServerState(BEFORE), MEAN, Server(), rule=rule)


@pytest.mark.parametrize(
    ("settings", "rule", "name"),
    [
        (Server(lr=1e300), None, "weights/w"),
        (Server(optimizer="momentum", lr=1e39), None, "weights/w"),
        (Server(), lambda round: {"control/w": np.array([np.nan])}, "control/w"),
    ],
)
def test_a_step_to_what_is_not_finite_is_refused(settings: Server, rule: Any, name: str) -> None:
    with pytest.raises(NotFiniteError, match=name):
        step(ServerState(BEFORE if rule else one(1.0)), MEAN, settings, rule=rule)


def test_a_late_update_moves_weights_and_adds_a_share_of_other_changes() -> None:
    """1 + 0.5 (7 - 3) = 3; of the control's change of 6 a half."""
    update = {**one(7.0), "control/w": np.array([6.0], np.float32)}
    base = {**one(3.0), "control/w": np.array([9.0], np.float32)}
    found = moved(BEFORE, update, base, 0.5)
    assert {name: array.tolist() for name, array in found.items()} == {
        "weights/w": [3.0],
        "control/w": [3.0],
    }


@pytest.mark.parametrize("policy", ["wait", "fedbuff"])
def test_a_step_to_what_is_not_finite_stops_the_run_with_nothing_lost(
    tiny: Any, policy: str
) -> None:
    given = tiny(server__lr=1e300, rollout__policy=policy)
    for _ in range(2):  # going on is told the same
        with pytest.raises(RunStoppedError) as caught:
            run(given)
        assert isinstance(caught.value, UserError)
        assert "round 1: the server's step makes weights/" in str(caught.value)
        assert "lower server.lr, which is 1e+300" in str(caught.value)
    stopped = load(given["folder"])
    saved = sorted(path.name for path in stopped.folder.glob("fedavg/seed-0/*.safetensors"))
    assert saved == ["round-000000.safetensors"] and stopped.metrics.empty
