"""What changes if: alternatives, outcomes by hand, and a slow link that costs nothing but time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rollouts import write_rollout
from test_plots import Row
from test_rollout_answers import SITES, TRIPS, metric_rows

from federated.commands import main as cli
from federated.config.given import parse_overrides
from federated.config.study import parse
from federated.data import site_names
from federated.errors import UserError
from federated.questions.alternatives import changed, changes_of, folder_name, lies_beyond
from federated.questions.what_if import (
    AS_IT_IS,
    EVERYONE,
    compared,
    figure,
    outcome,
)
from federated.rollout.scenario import Hospital, scenario_of
from federated.statistics.targets import targets_of

GIVEN = {
    "phantom.sites": 5,
    "rollout.hospital.phantom-1.outages": "round 3",
    "rollout.group.rural.count": 3,
    "rollout.group.rural.go-live": 4,
    "rollout.group.rural.every": 0.5,
    "rollout.group.rural.uplink": 0.25,
}


def scenario(given: dict[str, object]) -> dict[str, Hospital]:
    common = parse(given).common
    found = scenario_of(common.rollout, common.calendars, site_names(common)).hospitals
    # How its go-live is written does not matter, only when it is.
    return {name: replace(h, calendar=replace(h.calendar, go_live="")) for name, h in found.items()}


def test_an_alternative_is_settings_with_or_without_the_word_rollout() -> None:
    assert changes_of("hospital.a.uplink=0  rollout.hospital.b.go-live=round 5 rounds=3") == {
        "rollout.hospital.a.uplink": "0",
        "rollout.hospital.b.go-live": "round 5",
        "rounds": "3",
    }
    assert changes_of("hospital.a.garbage=") == {"rollout.hospital.a.garbage": ""}


@pytest.mark.parametrize(
    ("change", "is_beyond"),
    [
        ("hospital.phantom-2.outages=30-32", True),
        ("hospital.phantom-2.outages=9-32", False),
        ("hospital.phantom-1.outages=2-3,30", True),
        ("hospital.phantom-2.leave=11 hospital.phantom-3.new-scanner=10", True),
        ("hospital.phantom-2.leave=11 hospital.phantom-3.new-scanner=9.5", False),
        ("hospital.phantom-2.outages=30-32 rounds=40", False),
        ("hospital.phantom-2.uplink=1", False),
    ],
)
def test_a_change_after_the_last_week_is_known(change: str, is_beyond: bool) -> None:
    """Round 3 is the week from 2 to 3, which the scenario itself has as an outage."""
    as_it_is = changed(GIVEN, {})
    assert lies_beyond(as_it_is, changed(GIVEN, changes_of(change)), 10.0) == is_beyond
    assert lies_beyond(as_it_is, as_it_is, 10.0)


def test_a_hospital_s_name_keeps_its_underscores() -> None:
    assert parse_overrides(["rollout.hospital.st_mary.go_live=3", "train.max_steps=2"]) == {
        "rollout.hospital.st_mary.go-live": "3",
        "train.max-steps": "2",
    }


def test_without_changes_one_table_a_hospital_is_the_same_scenario() -> None:
    assert scenario(changed(GIVEN, {})) == scenario(GIVEN)


def test_one_hospital_of_a_group_changes_and_keeps_all_else() -> None:
    before = scenario(GIVEN)
    after = scenario(changed(GIVEN, changes_of("hospital.phantom-3.uplink=8")))
    assert [name for name in before if before[name] != after[name]] == ["phantom-3"]
    assert after["phantom-3"].calendar.uplink == 8 and after["phantom-3"].go_live == 4.5


def test_a_group_changes_as_a_whole_and_rounds_are_read_anew() -> None:
    changes = changes_of("group.rural.uplink=8 rollout.rounds-per-week=2")
    after = scenario(changed(GIVEN, changes))
    assert [h.calendar.uplink for h in after.values()] == [0, 8, 8, 8, 0]
    # Round 3 begins in week 1 if there are two a week.
    assert after["phantom-1"].outages == ((1, 2),)


def test_hospitals_left_out_of_the_scenario_keep_their_tables() -> None:
    given = {**GIVEN, "rollout.only": "phantom-1"}
    after = scenario(changed(given, {"rollout.only": ""}))
    assert after == scenario(GIVEN)


def test_the_same_text_has_the_same_folder_and_another_has_another() -> None:
    assert folder_name("hospital.a.uplink=0") == "hospital.a.uplink=0"
    names = {folder_name(text) for text in ("a=1 b=2", "a=1/b=2", "a=1_b=2", "a=" + "1" * 200)}
    assert len(names) == 4 and all("/" not in name and len(name) < 100 for name in names)


@pytest.mark.parametrize("key", ["seeds", "folder", "engine.kind", "rollout.target-auc"])
def test_what_all_runs_share_is_no_alternative(key: str) -> None:
    with pytest.raises(UserError, match=f"{key} is the same in all runs"):
        changes_of(f"{key}=1")


def outcome_of_tiny(folder: Path) -> pd.DataFrame:
    rows: list[Row] = metric_rows()
    for method in ("local", "fedavg"):
        for site, auc in zip(SITES, (0.82, 0.74), strict=True):
            rows.append((method, 0, 3, site, "val", "kept", "auc", auc, 40))
    spans = [(method, 0, *rest) for method, *rest in TRIPS]
    targets = zip(SITES, (0.7, 0.99), strict=True)
    settings = {f"rollout.hospital.{site}.target-auc": auc for site, auc in targets}
    run = write_rollout(folder, rows, spans, sites=SITES, **settings)  # type: ignore[arg-type]
    return outcome(run, "fedavg", targets_of(run))


def test_an_outcome_by_hand(tmp_path: Path) -> None:
    alder, birch = outcome_of_tiny(tmp_path).to_dict("records")
    # The last round ended at 340; alder waited from 176 to 180; its target is 0.7, reached at 12.
    assert (alder["hours"], alder["waited_hours"]) == (340, 4)
    assert (alder["reached"], alder["reached_week"]) == (1, 12 / 168)
    assert (alder["val_auc"], alder["test_auc"]) == (0.82, 0.79)
    assert (birch["hours"], birch["waited_hours"], birch["reached"]) == (340, 0, 0)
    assert pd.isna(birch["reached_week"])


def numbers(site: str, hours: float, week: float, auc: float, seed: int = 0) -> dict[str, object]:
    return {
        "seed": seed, "site": site, "hours": hours, "waited_hours": hours / 10,
        "reached": float(week == week), "reached_week": week, "val_auc": auc, "test_auc": auc,
    }  # fmt: skip


NEVER = float("nan")


def both() -> pd.DataFrame:
    base = [numbers("a", 100, 4, 0.8), numbers("b", 100, NEVER, 0.6)]
    base += [numbers("a", 100, 5, 0.7, 1), numbers("b", 100, 6, 0.6, 1)]
    other = [numbers("a", 90, 3, 0.9), numbers("b", 90, 2, 0.6)]
    # With seed 1 b is not there.
    other += [numbers("a", 80, 5, 0.8, 1)]
    return compared({AS_IT_IS: pd.DataFrame(base), "x=1": pd.DataFrame(other)})


def test_differences_are_taken_seed_by_seed_and_over_hospitals_that_are_in_both() -> None:
    table = both()
    of = table[table["if"] == "x=1"].set_index(["site", "seed"])
    assert of.loc[("a", 0), "hours_change"] == -10 and of.loc[("a", 1), "hours_change"] == -20
    assert of.loc[("a", 0), "reached_week_change"] == -1
    # B reached it only now: that has a week, but no difference.
    assert of.loc[("b", 0), "reached_week"] == 2
    assert pd.isna(of.loc[("b", 0), "reached_week_change"])
    assert of.loc[("b", 0), "reached_change"] == 1
    every = of.loc[EVERYONE]
    assert every.loc[0, "test_auc_change"] == pytest.approx(0.05)
    assert every.loc[1, "test_auc_change"] == pytest.approx(0.1)
    assert every.loc[0, "reached"] == 1
    base = table[(table["if"] == AS_IT_IS) & (table["site"] == EVERYONE)].set_index("seed")
    assert base.loc[0, "reached"] == 0.5 and base.loc[0, "reached_week"] == 4
    assert (base["hours_change"] == 0).all()


def test_the_picture_has_everyone_first_and_the_mean_over_seeds() -> None:
    picture = figure(both())
    ends = picture.axes[0]
    assert [label.get_text() for label in ends.get_yticklabels()] == [EVERYONE, "a", "b"]
    (marks,) = [line for line in ends.lines if len(line.get_xdata()) == 3]
    assert list(marks.get_xdata()) == [-15, -15, -10]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["x=1"]


def test_of_many_hospitals_those_that_change_most_have_a_row() -> None:
    sites = [f"s{i:02d}" for i in range(40)]
    base = pd.DataFrame([numbers(site, 100, 1, 0.5) for site in sites])
    other = base.assign(test_auc=[0.5 + i / 100 for i in range(40)])
    picture = figure(compared({AS_IT_IS: base, "x=1": other}))
    names = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert names == [EVERYONE, *sites[10:]]


@pytest.fixture
def config(tiny: Callable[..., dict[str, str]], tmp_path: Path) -> Path:
    words = {k: v for k, v in tiny(methods="local,fedbn").items() if k != "folder"}
    lines = [f'{key} = "{value}"' for key, value in words.items()]
    lines += ["rollout.image-seconds = 5", "[rollout.group.rural]", "count = 3", "uplink = 0.01"]
    path = tmp_path / "config.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_faster_link_saves_time_and_changes_nothing_else(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "answer"
    fast, faster = "group.rural.uplink=0", "hospital.phantom-1.uplink=0"
    words = ["what-if", str(config), "--to", str(to), "--if", fast, "--if", faster]
    assert cli.main(words) == 0
    table = pd.read_csv(to / "what-if.csv")
    assert list(table["if"].unique()) == [AS_IT_IS, fast, faster]
    everyone = table[table["site"] == EVERYONE].set_index("if")
    # All wait until the slowest is through: one fast link of three only makes its owner wait.
    assert everyone.loc[fast, "hours_change"] < 0 == everyone.loc[faster, "hours_change"]
    own = table[(table["if"] == faster) & (table["site"] == "phantom-1")].iloc[0]
    assert own["waited_hours_change"] > 0
    # Under `wait` time decides nothing about the weights.
    for name in ("val_auc_change", "test_auc_change"):
        assert (table[name].dropna() == 0).all() and table[name].notna().any()
    assert (to / "what-if.png").exists() and "everyone" in capsys.readouterr().out
    # The same again, in another order, finds all runs done.
    words = ["what-if", str(config), "--to", str(to), "--if", faster, "--if", fast]
    assert cli.main(words) == 0
    assert "run:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hospital.phantom-9.uplink=1"], "none of the 3 hospitals"),
        (["hospital.phantom-1.uplnk=1"], "did you mean 'uplink'"),
        (["hospital.phantom-1.uplink="], "a number is needed"),
        (["roundz=1"], "did you mean 'rounds'"),
        (["hospital.phantom-1"], "is not a setting"),
        (["hospital.phantom-1.uplink=0.01"], "changes nothing"),
        (["rounds=1", "--if", "rounds=1"], "twice"),
        (["seeds=1"], "set it before --if"),
        (["methods=fedavg,fedbn"], "one method"),
    ],
)
def test_a_bad_alternative_is_told_before_anything_runs(
    words: list[str], sentence: str, config: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    to = tmp_path / "answer"
    assert cli.main(["what-if", str(config), "--to", str(to), "--if", *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not to.exists()
