"""Whole rollouts: what must hold of any of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from federated.engine import run
from federated.runs.reading import Run
from federated.storage import read_tensors

RunTiny = Callable[..., Run]

SITES = ("phantom-1", "phantom-2", "phantom-3")
NOBODY_WAITS = {"rollout.hospital.phantom-1.go-live": "0"}
UNEVEN = {
    "rollout.image-seconds": 60,
    "rollout.hospital.phantom-1.speed": 1.0,
    "rollout.hospital.phantom-2.speed": 0.3,
    "rollout.hospital.phantom-3.speed": 0.1,
    "rollout.hospital.phantom-3.uplink": 0.5,
}


def weights(run: Run, method: str = "fedavg", round: int = 0) -> dict[str, np.ndarray]:
    """Return the server's weights after a round, by default the last."""
    folder = run.folder / method / "seed-0"
    files = sorted(folder.glob("round-*.json")) if not round else []
    path = files[-1] if files else folder / f"round-{round:06d}.json"
    tensors, _ = read_tensors(path.with_suffix(".safetensors"))
    return {k: t.numpy() for k, t in tensors.items() if k.startswith("weights/")}


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def numbers(run: Run) -> pd.DataFrame:
    """Return all numbers but those that this machine's speed decides."""
    return run.metrics[run.metrics["metric"] != "seconds"].reset_index(drop=True)


def timeline(run: Run) -> str:
    return (run.folder / "timeline.csv").read_text()


@pytest.mark.parametrize("method", ["fedavg", "consilium", "local"])
def test_everyone_there_and_infinitely_fast_is_the_plain_run(
    run_tiny: RunTiny, method: str
) -> None:
    plain = run_tiny("plain", methods=method)
    rollout = run_tiny("rollout", methods=method, **NOBODY_WAITS)
    pd.testing.assert_frame_equal(numbers(plain), numbers(rollout))
    assert equal(weights(plain, method), weights(rollout, method))
    assert not (plain.folder / "timeline.csv").exists()


@pytest.mark.parametrize(
    "policy",
    [
        {"rollout.policy": "deadline", "rollout.deadline-hours": 1e9},
        {"rollout.policy": "fedbuff", "rollout.buffer": 3},
        {"rollout.select": 3},
    ],
)
def test_a_policy_that_waits_for_all_is_wait(run_tiny: RunTiny, policy: dict[str, object]) -> None:
    wait = run_tiny("wait", **UNEVEN)
    other = run_tiny("other", **UNEVEN, **policy)
    assert equal(weights(wait), weights(other))
    assert timeline(wait) == timeline(other)
    pd.testing.assert_frame_equal(numbers(wait), numbers(other))


def test_virtual_time_only_goes_on(run_tiny: RunTiny) -> None:
    rows = pd.read_csv(run_tiny(rounds=3, **UNEVEN).folder / "timeline.csv")
    assert (rows["end"] >= rows["start"]).all()
    rounds = rows[rows["activity"] == "round"]
    assert (rounds["start"].to_numpy()[1:] >= rounds["end"].to_numpy()[:-1]).all()
    busy = rows[rows["activity"].isin(["download", "train", "upload", "evaluate"])]
    for _, own in busy.groupby("site"):
        ordered = own.sort_values(["start", "end"])
        assert (ordered["start"].to_numpy()[1:] >= ordered["end"].to_numpy()[:-1]).all()


def test_a_slower_hospital_never_ends_a_round_earlier(run_tiny: RunTiny) -> None:
    ends = []
    for speed in (1.0, 0.5, 0.05):
        slow = {**UNEVEN, "rollout.hospital.phantom-2.speed": speed}
        rows = pd.read_csv(run_tiny(f"speed-{speed}", **slow).folder / "timeline.csv")
        ends.append(rows.loc[rows["activity"] == "round", "end"].to_list())
    assert ends[0] <= ends[1] <= ends[2] and ends[0] != ends[2]


@pytest.mark.parametrize("policy", ["wait", "deadline", "fedbuff", "fedasync"])
def test_a_hospital_without_images_changes_no_weight(run_tiny: RunTiny, policy: str) -> None:
    without = run_tiny(
        "without", **{"rollout.only": "phantom-1,phantom-2", "rollout.policy": policy}
    )
    empty = {"rollout.hospital.phantom-3.images": 0, "rollout.policy": policy}
    assert equal(weights(without), weights(run_tiny("empty", **empty)))


def test_a_hospital_that_goes_live_later_changes_no_earlier_weight(run_tiny: RunTiny) -> None:
    lr = {"train.schedule": "constant"}  # a cosine would depend on the number of rounds
    late = run_tiny("late", rounds=3, **lr, **{"rollout.hospital.phantom-3.go-live": "round 3"})
    never = run_tiny("never", rounds=2, **lr, **{"rollout.only": "phantom-1,phantom-2"})
    assert equal(weights(late, round=2), weights(never, round=2))
    assert not equal(weights(late, round=3), weights(never, round=2))
    joined = late.events.query("kind == 'hospital-joined'").set_index("site")["round"]
    assert joined.to_dict() == {"phantom-1": 1, "phantom-2": 1, "phantom-3": 3}


@pytest.mark.parametrize(
    "policy",
    [
        {"rollout.policy": "fedbuff", "rollout.buffer": 1},
        {"rollout.policy": "fedasync"},
        {
            "rollout.policy": "deadline",
            "rollout.deadline-hours": 2,
            "rollout.late": "next-round",
            "rollout.rounds-per-week": 30,
        },
    ],
)
def test_resuming_a_rollout_equals_never_having_stopped(
    run_tiny: RunTiny, tiny: Callable[..., dict[str, str]], policy: dict[str, object]
) -> None:
    whole = run_tiny("whole", rounds=6, **UNEVEN, **policy)
    given = tiny("cut", rounds=6, **UNEVEN, **policy)

    def stop(event: dict[str, object]) -> None:
        if event["kind"] == "round-ended" and event["round"] == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run(given, stop)  # type: ignore[arg-type]
    run(given)
    cut = Run(Path(given["folder"]))
    assert timeline(cut) == timeline(whole)
    assert equal(weights(cut), weights(whole))
    pd.testing.assert_frame_equal(numbers(cut), numbers(whole))
    assert any(pd.read_csv(whole.folder / "timeline.csv")["activity"] == "waiting")


def test_a_late_update_is_dropped_or_counts_in_the_next_round(run_tiny: RunTiny) -> None:
    strict = {**UNEVEN, "rollout.policy": "deadline", "rollout.deadline-hours": 2}
    rounds = {"rounds": 3, "rollout.rounds-per-week": 30}
    dropped = run_tiny("dropped", **strict, **rounds)
    later = run_tiny("later", **strict, **rounds, **{"rollout.late": "next-round"})
    told = [set(pd.read_csv(r.folder / "timeline.csv")["activity"]) for r in (dropped, later)]
    assert "dropped" in told[0] and "dropped" not in told[1] and "waiting" in told[1]
    assert not equal(weights(dropped), weights(later))


def test_a_buffer_smaller_than_the_federation_starves_nobody(run_tiny: RunTiny) -> None:
    policy = {"rollout.policy": "fedbuff", "rollout.buffer": 1, "rounds": 9}
    run = run_tiny(**UNEVEN, **policy)
    rows = pd.read_csv(run.folder / "timeline.csv")
    waiting = rows[rows["activity"] == "waiting"].groupby("round").size()
    assert waiting.max() <= len(SITES) - 1
    for activity in ("used", "evaluate"):
        assert set(rows.loc[rows["activity"] == activity, "site"]) == set(SITES)


def test_alone_nobody_waits(run_tiny: RunTiny) -> None:
    rows = pd.read_csv(
        run_tiny(methods="local", rollout__rounds_per_week=1000, **UNEVEN).folder / "timeline.csv"
    )
    ends = rows[rows["activity"] == "train"].groupby("site")["end"].max()
    assert ends["phantom-1"] < ends["phantom-2"] < ends["phantom-3"]
    assert set(rows["activity"]) == {"train", "evaluate"}


LEAVING = {
    "rollout.hospital.phantom-2.go-live": "round 2",
    "rollout.hospital.phantom-2.leave": "round 5",
    "rollout.hospital.phantom-2.unlearn": True,
    "rollout.hospital.phantom-3.go-live": "round 3",
}


@pytest.mark.parametrize("method", ["fedavg", "consilium"])
def test_nothing_is_left_of_a_hospital_that_is_unlearned(run_tiny: RunTiny, method: str) -> None:
    honest = run_tiny("honest", methods=method, rounds=6, **LEAVING)
    garbage = {**LEAVING, "rollout.hospital.phantom-2.garbage": "0-9"}
    other = run_tiny("other", methods=method, rounds=6, **garbage)
    assert not equal(weights(honest, method, 5), weights(honest, method, 6))
    # Whatever it sent, the federation ends the same: weights, and what the others keep.
    assert equal(weights(honest, method), weights(other, method))
    final = [
        run.wide("val").query("round > 4").drop(columns=["method"]).reset_index(drop=True)
        for run in (honest, other)
    ]
    pd.testing.assert_frame_equal(*final)
    kept = [run.selected("test").query("site != 'phantom-2'") for run in (honest, other)]
    pd.testing.assert_frame_equal(*kept)
    told = honest.events.query("kind == 'unlearned'")
    assert told[["site", "round", "back_to"]].to_numpy().tolist() == [["phantom-2", 5, 1]]


def test_without_unlearning_its_influence_stays(run_tiny: RunTiny) -> None:
    stays = {**LEAVING, "rollout.hospital.phantom-2.unlearn": False}
    garbage = {**stays, "rollout.hospital.phantom-2.garbage": "0-9"}
    assert not equal(
        weights(run_tiny("honest", rounds=6, **stays)),
        weights(run_tiny("other", rounds=6, **garbage)),
    )


def test_a_frozen_newcomer_does_not_count_yet(run_tiny: RunTiny) -> None:
    late = {"rollout.hospital.phantom-3.go-live": "round 2", "train.schedule": "constant"}
    frozen = {**late, "rollout.join": "frozen", "rollout.join-rounds": 1}
    first = run_tiny("frozen", methods="fedbn", rounds=3, **frozen)
    never = {"rollout.only": "phantom-1,phantom-2", "train.schedule": "constant"}
    without = run_tiny("without", methods="fedbn", rounds=3, **never)
    assert equal(weights(first, "fedbn", 2), weights(without, "fedbn", 2))
    assert not equal(weights(first, "fedbn", 3), weights(without, "fedbn", 3))
    steps = first.wide("train").set_index(["round", "site"])["steps"]
    assert steps[2, "phantom-3"] > 0


@pytest.mark.ray
def test_any_number_of_workers_gives_the_same_timeline(run_tiny: RunTiny) -> None:
    policy = {"rollout.policy": "fedbuff", "rollout.buffer": 2, "rounds": 4}
    inline = run_tiny("inline", **UNEVEN, **policy)
    for workers in (1, 2):
        engine = {"engine.kind": "ray", "engine.workers": workers}
        ray = run_tiny(f"ray-{workers}", **UNEVEN, **policy, **engine)
        assert timeline(ray) == timeline(inline)
        assert equal(weights(ray), weights(inline))
