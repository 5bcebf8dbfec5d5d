"""Scenarios, the virtual clock and round policies: hand-computed numbers."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.commands import main as cli
from federated.config.given import read_toml
from federated.config.rollout import Calendar, Rollout
from federated.config.study import parse
from federated.config.writing import to_toml
from federated.errors import UserError
from federated.rollout.clock import transfer_hours, trip
from federated.rollout.policy import Update, decide, discount, needs_every_update, select
from federated.rollout.scenario import Hospital, moment, scenario_of, windows

NAMES = ["a", "b", "c", "d", "e"]


def hospital(**facts: object) -> Hospital:
    tables = (("hospital.a", Calendar(**facts)),)  # type: ignore[arg-type]
    return scenario_of(Rollout(), tables, NAMES).hospitals["a"]


@pytest.mark.parametrize(
    ("text", "week"),
    [("4", 4.0), ("week 2.5", 2.5), ("round 8", 1.0), ("2026-02-02", 4.0), (" 0 ", 0.0)],
)
def test_a_moment_is_a_week_a_round_or_a_date(text: str, week: float) -> None:
    assert moment(text, Rollout(start="2026-01-05", rounds_per_week=7)) == week


@pytest.mark.parametrize("text", ["soon", "-3", "2025-12-01", "2026-13-40", "inf", "nan"])
def test_an_unreadable_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text, Rollout(start="2026-01-05"))


def test_a_date_needs_a_start() -> None:
    with pytest.raises(UserError, match=r"hospital a: '2026-02-02' is a date; set rollout\.start"):
        hospital(go_live="2026-02-02")


def test_windows_by_hand() -> None:
    rollout = Rollout(start="2026-01-05")
    assert windows("10-12, 30", rollout) == ((10.0, 12.0), (30.0, 31.0))
    assert windows("2026-01-12/2026-01-26", rollout) == ((1.0, 3.0),)
    assert windows("", rollout) == ()


def test_absence_at_the_edges_of_a_calendar() -> None:
    there = hospital(go_live="4", leave="20", outages="10-12")
    found = {week: there.absence(week, 1, 0) for week in (3.9, 4.0, 9.9, 10.0, 11.9, 12.0, 20.0)}
    expected = ("not yet live", "", "", "outage", "outage", "", "has left")
    assert tuple(found.values()) == expected


def test_missed_rounds_come_as_often_as_they_should() -> None:
    unreliable = hospital(miss=0.3)
    missed = [unreliable.absence(0.0, round, 0) == "missed" for round in range(1, 2001)]
    # A binomial count of 2000 with 0.3 lies within five of its standard deviations of 600.
    assert abs(sum(missed) - 600) < 5 * math.sqrt(2000 * 0.3 * 0.7)
    assert missed == [unreliable.absence(0.0, round, 0) == "missed" for round in range(1, 2001)]


def test_images_grow_from_go_live() -> None:
    growing = hospital(go_live="4", images=10, images_per_week=2.5)
    assert [growing.images(week, 20) for week in (0, 4, 5, 6, 8, 100)] == [10, 10, 12, 15, 20, 20]
    assert hospital().images(0, 20) == 20


def test_groups_take_the_hospitals_that_no_table_names() -> None:
    tables = (
        ("group.pilot", Calendar(count=1)),
        ("hospital.a", Calendar(go_live="9")),
        ("group.wave", Calendar(count=2, go_live="4", every=1.5)),
    )
    live = {n: h.go_live for n, h in scenario_of(Rollout(), tables, NAMES).hospitals.items()}
    assert live == {"a": 9.0, "b": 0.0, "c": 4.0, "d": 5.5, "e": 0.0}


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"hospital.x": Calendar()}, "is none of the 5 hospitals"),
        ({"group.g": Calendar(count=6)}, "wants 6 hospitals, but only 5 of the 5"),
        ({"group.g": Calendar()}, "needs count"),
        ({"hospital.a": Calendar(go_live="4", leave="2")}, "leaves before it goes live"),
        ({"hospital.a": Calendar(outages="12-10")}, "ends before it begins"),
    ],
)
def test_an_impossible_scenario_gets_a_sentence(tables: dict[str, Calendar], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        scenario_of(Rollout(), tuple(tables.items()), NAMES)


@pytest.mark.parametrize("start", ["2026-13-01", "monday", "20260105"])
def test_week_0_needs_a_real_date(start: str) -> None:
    with pytest.raises(UserError, match=f"rollout.start = '{start}' is no date"):
        scenario_of(Rollout(start=start), (), NAMES)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rollout.group.far.count=9"], "wants 9 hospitals, but only 4 of the 4"),
        (["rollout.hospital.nowhere.speed=2"], "is none of the 4 hospitals"),
        (["rollout.hospital.phantom-1.go-live=soon"], "'soon' is no week"),
    ],
)
def test_the_command_says_what_is_wrong_before_anything_runs(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", f"folder={tmp_path / 'run'}", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_only_leaves_the_others_out() -> None:
    assert list(scenario_of(Rollout(only="c, a"), (), NAMES).hospitals) == ["a", "c"]
    with pytest.raises(UserError, match="there is no hospital x"):
        scenario_of(Rollout(only="x"), (), NAMES)


def test_a_scenario_of_its_own_is_the_same_as_its_tables_in_the_config(tmp_path: Path) -> None:
    inside = {
        "rollout.rounds-per-week": 7,
        "rollout.hospital.St. Mary_2.go-live": "4",
        "rollout.group.rural.count": 2,
    }
    (tmp_path / "scenario.toml").write_text(
        'rounds-per-week = 7\n[hospital."St. Mary_2"]\ngo-live = 4\n[group.rural]\ncount = 2\n'
    )
    outside = {"rollout.scenario": str(tmp_path / "scenario.toml")}
    assert parse(outside) == parse(inside)
    written = tmp_path / "config.toml"
    written.write_text(to_toml(parse(outside)))
    assert parse(read_toml(written)) == parse(inside)


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({"rollout.hospital.a.golive": "4"}, "has no setting 'golive'"),
        ({"rollout.hospital.a.speed": "0"}, "speed = 0.0 is below"),
        ({"rollout.hospital.a.count": 2}, "is for groups"),
        ({"rollout.hospital.a": 2}, r"write \[rollout.hospital.a\] with settings"),
        ({"rollout.policy": "wiat"}, "none of wait, deadline"),
        ({"rollout.scenario": "nowhere.toml"}, "there is no config file nowhere.toml"),
        ({"rollout.policy": "deadline", "methods": "pooled"}, "has no rollout"),
    ],
)
def test_a_wrong_scenario_gets_a_sentence(given_: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(given_)


def test_a_trip_by_hand() -> None:
    calendar = Calendar(speed=0.5, downlink=8.0, uplink=2.0, latency=1.0)
    way = trip(calendar, 0.1, start=10.0, bytes_down=9_000_000, images=1790, bytes_up=9_000_000)
    # 72 Mbit at 8 Mbit/s and a second; 1790 images of 0.2 s; 72 Mbit at 2 Mbit/s and a second.
    seconds = [round((t - 10.0) * 3600, 6) for t in (way.down, way.done, way.arrival)]
    assert seconds == [10.0, 368.0, 405.0]


def test_nothing_to_send_takes_no_time() -> None:
    assert transfer_hours(0, 1.0, 5.0) == 0.0
    assert transfer_hours(1, 0.0, 0.0) == 0.0


positive = st.floats(min_value=1e-3, max_value=1e6)


@given(positive, positive, positive, positive, positive)
def test_time_is_additive_and_monotone(
    n_bytes: float, mbit: float, images: float, speed: float, start: float
) -> None:
    calendar = Calendar(speed=speed, downlink=mbit, uplink=mbit)
    way = trip(calendar, 1.0, start=start, bytes_down=n_bytes, images=images, bytes_up=n_bytes)
    assert start <= way.down <= way.done <= way.arrival
    more = trip(calendar, 1.0, start=start, bytes_down=n_bytes, images=2 * images, bytes_up=n_bytes)
    assert more.arrival >= way.arrival
    parts = 2 * transfer_hours(n_bytes, mbit, 0) + images / speed / 3600
    assert math.isclose(way.arrival - start, parts, rel_tol=1e-6, abs_tol=1e-6)


UPDATES = [Update("a", 1, 3.0, 10), Update("b", 1, 30.0, 10), Update("c", 1, 1.0, 10)]


def names(updates: tuple[Update, ...]) -> str:
    return "".join(update.site for update in updates)


@pytest.mark.parametrize(
    ("rollout", "used", "waiting", "dropped", "end"),
    [
        (Rollout(), "abc", "", "", 30.0),
        (Rollout(policy="deadline", deadline_hours=24), "ac", "", "b", 24.0),
        (Rollout(policy="deadline", deadline_hours=24, late="next-round"), "ac", "b", "", 24.0),
        (Rollout(policy="deadline", deadline_hours=40), "abc", "", "", 30.0),
        (Rollout(select=2, spare=1), "ac", "", "b", 3.0),
        (Rollout(policy="deadline", deadline_hours=2, select=2), "c", "", "ab", 2.0),
        (Rollout(policy="fedbuff", buffer=2), "ac", "b", "", 3.0),
        (Rollout(policy="fedbuff", buffer=9), "abc", "", "", 30.0),
        (Rollout(policy="fedasync"), "c", "ab", "", 1.0),
    ],
)
def test_policies_by_hand(
    rollout: Rollout, used: str, waiting: str, dropped: str, end: float
) -> None:
    decision = decide(rollout, UPDATES, 0.0)
    found = (names(decision.used), "".join(sorted(names(decision.waiting))), decision.end)
    assert found == (used, waiting, end)
    assert "".join(sorted(names(decision.dropped))) == dropped
    assert decide(rollout, UPDATES[::-1], 0.0) == decision


def test_an_update_that_came_between_rounds_counts_when_the_next_begins() -> None:
    decision = decide(Rollout(policy="fedbuff", buffer=1), [Update("a", 1, 3.0, 10)], start=168.0)
    assert decision.end == 168.0


def test_staleness_by_hand() -> None:
    assert [discount(Rollout(staleness=0.5), s) for s in (0, 3, 8)] == [1.0, 0.5, 1 / 3]
    assert discount(Rollout(staleness=0.0), 5) == 1.0


def test_selection_is_fair_and_depends_on_the_round_alone() -> None:
    rollout = Rollout(select=1, spare=1)
    drawn = [select(rollout, NAMES, round) for round in range(1, 1001)]
    assert drawn == [select(rollout, NAMES[::-1], round) for round in range(1, 1001)]
    counts = [sum(name in lot for lot in drawn) for name in NAMES]
    assert all(abs(count - 400) < 5 * math.sqrt(1000 * 0.4 * 0.6) for count in counts)
    assert needs_every_update(rollout) and not needs_every_update(Rollout())
