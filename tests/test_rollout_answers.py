"""The answers of a rollout against numbers computed by hand on a tiny timeline."""

import math
from pathlib import Path

import pandas as pd
import pytest
from rollouts import Event, Span, weekly, write_rollout
from test_plots import METHOD_NAMES, Row, full_rows, write_run

from federated.answers import benefit, cost, disturbances, joining, waiting
from federated.runs.columns import TIMELINE_COLUMNS
from federated.runs.history import evaluations, gains_over_time
from federated.runs.reading import Run

SITES = ("alder", "birch")
"""Birch joins at week 1 with a slow link; its update of round 3 is dropped."""

TRIPS: list[tuple[str, int, str, str, float, float]] = [
    ("fedavg", 1, "", "round", 0, 10),
    ("fedavg", 1, "alder", "train", 0, 6),
    ("fedavg", 1, "alder", "upload", 6, 10),
    ("fedavg", 1, "alder", "used", 10, 10),
    ("fedavg", 1, "alder", "evaluate", 10, 12),
    ("fedavg", 2, "", "round", 168, 180),
    ("fedavg", 2, "alder", "download", 168, 169),
    ("fedavg", 2, "alder", "train", 169, 175),
    ("fedavg", 2, "alder", "upload", 175, 176),
    ("fedavg", 2, "birch", "download", 168, 170),
    ("fedavg", 2, "birch", "train", 170, 178),
    ("fedavg", 2, "birch", "upload", 178, 180),
    ("fedavg", 2, "alder", "used", 176, 180),
    ("fedavg", 2, "birch", "used", 180, 180),
    ("fedavg", 2, "alder", "evaluate", 180, 182),
    ("fedavg", 2, "birch", "evaluate", 180, 183),
    ("fedavg", 3, "", "round", 336, 340),
    ("fedavg", 3, "alder", "train", 336, 340),
    ("fedavg", 3, "birch", "train", 336, 346),
    ("fedavg", 3, "alder", "used", 340, 340),
    ("fedavg", 3, "birch", "dropped", 346, 346),
    ("fedavg", 3, "alder", "evaluate", 340, 342),
    ("fedavg", 3, "birch", "evaluate", 346, 349),
    *(
        ("local", round, site, "evaluate", (round - 1) * 168, (round - 1) * 168 + hours)
        for round in (1, 2, 3)
        for site, hours in (("alder", 2), ("birch", 3))
        if (round, site) != (1, "birch")
    ),
]
VAL = {
    ("local", "alder"): {1: 0.6, 2: 0.7, 3: 0.8},
    ("local", "birch"): {2: 0.5, 3: 0.6},
    ("fedavg", "alder"): {1: 0.7, 2: 0.8, 3: 0.75},
    ("fedavg", "birch"): {2: 0.65, 3: 0.7},
}
KEPT = {
    ("local", "alder"): 0.8,
    ("local", "birch"): 0.7,
    ("fedavg", "alder"): 0.79,
    ("fedavg", "birch"): 0.72,
}


def metric_rows() -> list[Row]:
    rows: list[Row] = []
    for (method, site), aucs in VAL.items():
        for round, auc in aucs.items():
            key = (method, 0, round, site)
            rows.append((*key, "val", "current", "auc", auc, 40))
            rows.append((*key, "test", "current", "auc", auc - 0.1, 40))
            rows.append((*key, "train", "current", "bytes_down", 2e6, 80))
            rows.append((*key, "train", "current", "bytes_up", 1e6, 80))
    kept: list[Row] = [
        (method, 0, 3, site, "test", "kept", "auc", auc, 40) for (method, site), auc in KEPT.items()
    ]
    return rows + kept


def tiny(
    folder: Path,
    extra: list[Span] | None = None,
    again: list[Event] | None = None,
    **settings: object,
) -> Run:
    """Return a run of three rounds; settings beside birch's go-live have dotted names."""
    events: list[Event] = [
        {"kind": "hospital-joined", "method": m, "seed": 0, "round": r, "site": s, "hours": h}
        for m in ("local", "fedavg")
        for r, s, h in ((1, "alder", 0.0), (2, "birch", 168.0))
    ]
    absent = {"kind": "hospital-absent", "method": "fedavg", "seed": 0, "site": "birch"}
    events += [{**absent, "round": r, "reason": "missed"} for r in (4, 5)]
    events += [{**absent, "round": 6, "reason": "outage"}]
    spans: list[Span] = [(method, 0, *span) for method, *span in TRIPS]  # type: ignore[misc]
    given = {"rollout.hospital.birch.go-live": "1", **settings}
    events += again or []
    return write_rollout(folder, metric_rows(), spans + (extra or []), events, SITES, **given)


def row(table: pd.DataFrame, method: str, site: str, column: str = "site") -> pd.Series:
    (place,) = table.index[(table["method"] == method) & (table[column] == site)]
    return table.loc[place]


def test_the_timeline_comes_back_to_the_bit_in_the_run_s_order(tmp_path: Path) -> None:
    hours = 0.1 + 0.2
    run = tiny(tmp_path, [("local", 0, 1, "alder", "train", hours, 1.0)])
    assert tuple(run.timeline.columns) == TIMELINE_COLUMNS
    assert list(run.timeline["method"].unique()) == ["local", "fedavg"]
    assert run.timeline["round"].tolist()[:4] == [1, 1, 2, 2]
    assert hours in set(run.timeline["start"])


def test_a_run_without_a_rollout_has_an_empty_timeline(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(), METHOD_NAMES)
    assert run.timeline.empty and tuple(run.timeline.columns) == TIMELINE_COLUMNS


def test_evaluations_have_the_hour_at_which_the_site_had_evaluated(tmp_path: Path) -> None:
    table = evaluations(tiny(tmp_path))
    assert row(table[table["round"] == 3], "fedavg", "birch")["hours"] == 349


def test_stated_targets_are_reached_by_the_hours_of_each_evaluation(tmp_path: Path) -> None:
    settings = {"rollout.target-auc": 0.6, "rollout.hospital.birch.target-auc": 0.65}
    table = benefit.numbers(tiny(tmp_path, **settings))
    alder, birch = row(table, "fedavg", "alder"), row(table, "fedavg", "birch")
    # Means of three: 0.7, 0.75, 0.75 together and 0.6, 0.65, 0.7 alone.
    assert (alder["target"], alder["reached_hours"], alder["alone_hours"]) == (0.6, 12, 2)
    assert alder["sooner_weeks"] == pytest.approx((2 - 12) / 168)
    assert alder["reached_week"] == pytest.approx(12 / 168)
    assert alder["test_auc"] == pytest.approx(0.7 - 0.1)
    # Birch has two evaluations, and nothing is sure before three.
    assert (birch["target"], birch["evaluations"]) == (0.65, 2)
    assert math.isnan(birch["reached_hours"]) and math.isnan(birch["sooner_weeks"])
    high = benefit.numbers(tiny(tmp_path / "high", **{"rollout.target-auc": 0.99}))
    assert high["reached_hours"].isna().all() and high["test_auc"].isna().all()


def test_a_newcomer_s_time_counts_from_its_own_go_live(tmp_path: Path) -> None:
    aucs = {(m, 0, "alder"): [math.nan, *[0.8] * 4] for m in ("local", "fedavg")}
    run = weekly(tmp_path, aucs, **{"rollout.hospital.alder.go-live": "1"})
    table = benefit.numbers(run)
    # Its first evaluation, of round 2, is two hours after it went live.
    assert list(table["after_hours"]) == list(table["alone_after_hours"]) == [2, 2]
    assert list(table["evaluations"]) == [4, 4]


def test_without_local_there_is_no_target(tmp_path: Path) -> None:
    rows = [r for r in metric_rows() if r[0] == "fedavg"]
    spans: list[Span] = [("fedavg", 0, 1, "", "round", 0.0, 1.0)]
    run = write_rollout(tmp_path, rows, spans, sites=SITES, methods=["fedavg"])
    table = benefit.numbers(run)
    assert len(table) == 2
    assert table[["target", "reached_hours", "sooner_weeks"]].isna().all(axis=None)
    assert cost.numbers(run)["gain"].isna().all() and gains_over_time(run)["gain"].isna().all()


def test_waiting_by_hand(tmp_path: Path) -> None:
    table = waiting.numbers(tiny(tmp_path))
    alder, birch = row(table, "fedavg", "alder"), row(table, "fedavg", "birch")
    assert alder["computing_hours"] == (6 + 6 + 4) + (2 + 2 + 2)
    assert alder["transfer_hours"] == 4 + (1 + 1)
    # In round 2 alder's update was there at 176 and birch's at 180.
    assert (alder["waiting_hours"], alder["held_up_hours"], alder["last_share"]) == (4, 0, 0)
    assert (birch["computing_hours"], birch["transfer_hours"]) == ((8 + 10) + (3 + 3), 2 + 2)
    assert (birch["waiting_hours"], birch["held_up_hours"], birch["last_share"]) == (0, 4, 1)
    assert (alder["used"], alder["dropped"]) == (3, 0)
    assert (birch["used"], birch["late"], birch["dropped"]) == (1, 0, 1)
    assert (birch["missed"], birch["outage"], alder["missed"]) == (2, 1, 0)


def test_an_update_from_before_a_round_is_not_what_the_round_waited_from(tmp_path: Path) -> None:
    extra: list[Span] = [
        ("fedavg", 0, 3, "birch", "waiting", 346.0, 346.0),
        ("fedavg", 0, 4, "birch", "waiting", 346.0, 500.0),
        ("fedavg", 0, 5, "", "round", 672.0, 672.5),
        ("fedavg", 0, 5, "birch", "used", 346.0, 672.5),
        ("fedavg", 0, 5, "alder", "used", 672.5, 672.5),
    ]
    table = waiting.numbers(tiny(tmp_path, extra))
    # Round 5 began at 672, so alder held it up for half an hour and not since 346.
    assert row(table, "fedavg", "alder")["held_up_hours"] == 0.5
    assert row(table, "fedavg", "alder")["last_share"] == 1 / 4
    birch = row(table, "fedavg", "birch")
    assert (birch["late"], birch["waiting_hours"]) == (1, 672.5 - 346)


def test_those_who_arrive_together_are_not_the_last(tmp_path: Path) -> None:
    extra: list[Span] = [
        ("fedavg", 0, 4, "", "round", 504.0, 510.0),
        ("fedavg", 0, 4, "alder", "used", 510.0, 510.0),
        ("fedavg", 0, 4, "birch", "used", 510.0, 510.0),
    ]
    table = waiting.numbers(tiny(tmp_path, extra))
    assert row(table, "fedavg", "alder")["last_share"] == 0
    assert row(table, "fedavg", "birch")["last_share"] == 1 / 2


def test_cost_by_hand(tmp_path: Path) -> None:
    prices = {"cost-per-hour": 2.0, "kilowatts": 0.5}
    settings = {f"rollout.hospital.birch.{name}": price for name, price in prices.items()}
    table = cost.numbers(tiny(tmp_path, **settings))
    alder, birch = row(table, "fedavg", "alder"), row(table, "fedavg", "birch")
    assert (alder["mb_down"], alder["mb_up"], birch["mb_down"]) == (6, 3, 4)
    assert (birch["compute_hours"], birch["money"], birch["kwh"]) == (24, 48, 12)
    # 0.72 - 0.70 are two points.
    assert birch["gain"] == pytest.approx(0.02)
    assert birch["money_per_point"] == pytest.approx(24)
    assert alder["gain"] == pytest.approx(-0.01)
    assert math.isnan(alder["money"]) and math.isnan(alder["money_per_point"])
    assert math.isnan(row(table, "local", "birch")["money_per_point"])


def test_joining_is_of_newcomers_and_of_methods_that_share(tmp_path: Path) -> None:
    (joiner,) = joining.numbers(tiny(tmp_path)).to_dict("records")
    assert (joiner["method"], joiner["joiner"], joiner["week"]) == ("fedavg", "birch", 1)
    assert joiner["own_gain"] == pytest.approx(0.02)
    # Alder: 0.7 in round 1, 0.75 in round 3.
    assert (joiner["others"], joiner["others_change"]) == (1, pytest.approx(0.05))


def test_to_join_again_after_an_unlearning_is_not_to_join(tmp_path: Path) -> None:
    joined = {"kind": "hospital-joined", "method": "fedavg", "seed": 0, "round": 3, "hours": 336.0}
    run = tiny(tmp_path, again=[{**joined, "site": site} for site in SITES])
    assert list(joining.numbers(run)["week"]) == [1]


def test_a_hospital_that_was_never_evaluated_never_reached_its_target(tmp_path: Path) -> None:
    table = benefit.numbers(tiny(tmp_path, [("fedavg", 0, 3, "cedar", "train", 336.0, 999.0)]))
    assert math.isnan(row(table, "fedavg", "cedar")["reached_hours"])


def test_disturbances_compare_the_same_hospitals_before_and_after(tmp_path: Path) -> None:
    settings = {
        "rollout.hospital.alder.new-scanner": "2",
        "rollout.hospital.alder.garbage": "1-2",
        "rollout.hospital.alder.leave": "40",
    }
    table = disturbances.numbers(tiny(tmp_path, **settings))
    # Alone no round has a beginning but its slot.
    local = table[table["method"] == "local"].iloc[0]
    assert (local["before"], local["after"]) == (0.6, pytest.approx((0.7 + 0.8) / 2))
    table = table[table["method"] == "fedavg"]
    # The run never came to week 40.
    assert list(table["kind"]) == ["garbage", "new scanner"]
    garbage, scanner = table.to_dict("records")
    assert (garbage["week"], garbage["until"]) == (1, 2)
    assert garbage["before"] == 0.7
    assert garbage["after"] == pytest.approx((0.8 + 0.75) / 2)
    # Birch had no AUC before week 1.
    assert math.isnan(garbage["others_after"])
    assert math.isnan(scanner["until"])
    assert scanner["before"] == pytest.approx((0.7 + 0.8) / 2)
    assert (scanner["after"], scanner["last"]) == (0.75, 0.75)
    assert (scanner["others_before"], scanner["others_after"]) == (0.65, 0.7)


def test_benefit_is_over_what_it_had_alone_at_that_hour(tmp_path: Path) -> None:
    table = gains_over_time(tiny(tmp_path))
    assert set(table["method"]) == {"fedavg"}
    alder = table[table["site"] == "alder"]["gain"].tolist()
    birch = table[table["site"] == "birch"]["gain"].tolist()
    assert alder == pytest.approx([0.7 - 0.6, 0.8 - 0.7, 0.75 - 0.8])
    assert birch == pytest.approx([0.65 - 0.5, 0.7 - 0.6])
