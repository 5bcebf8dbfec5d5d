"""A target that luck does not set, and reaching it that luck does not count: numbers by hand."""

from math import isnan
from pathlib import Path

import pandas as pd
import pytest
from rollouts import weekly
from test_plots import line, panel

from federated import plots
from federated.answers import benefit
from federated.commands import main as cli
from federated.plots.rollout_benefit import rollout_benefit
from federated.runs.reading import Run
from federated.statistics.targets import level_of, targets_of

ALONE = [0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
"""Means of three: 0.5, 0.55, 0.6, 2/3, 0.7 … : it stays at 0.7, its last quarter, from round 5."""
SOON = [0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]
"""Means of three: 0.6, 0.65, 0.7 … : from round 3."""
LUCKY = [0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5]
"""Once 0.9; the mean of three is never above 0.634."""
LATE = [0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9]
"""Means of three: … 0.633, 0.767, 0.9: from round 7, but only two evaluations are left."""
BRIEF = [0.7, 0.7, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5]
"""The mean is at 0.7 in two evaluations."""


def one(folder: Path, together: list[float], alone: list[float] = ALONE, **settings: object) -> Run:
    aucs = {("local", 0, "alder"): alone, ("fedavg", 0, "alder"): together}
    return weekly(folder, aucs, **settings)


def of(run: Run, target: float | None = None) -> pd.Series:
    (row,) = benefit.numbers(run, target).query("method == 'fedavg'").iloc
    return row


def test_the_target_is_held_by_the_mean_of_three_for_three_evaluations(tmp_path: Path) -> None:
    row = of(one(tmp_path, SOON))
    assert row["target"] == pytest.approx(0.7)
    assert (row["reached_round"], row["alone_round"], row["sooner_rounds"]) == (3, 5, 2)
    assert (row["reached_hours"], row["alone_hours"]) == (2 * 168 + 2, 4 * 168 + 2)
    assert row["sooner_weeks"] == 2 and row["test_auc"] == pytest.approx(0.7)


@pytest.mark.parametrize("together", [LUCKY, LATE, BRIEF])
def test_luck_does_not_reach_it(together: list[float], tmp_path: Path) -> None:
    assert max(together) >= 0.7
    assert isnan(of(one(tmp_path, together))["reached_round"])


def test_one_lucky_evaluation_alone_does_not_raise_the_target(tmp_path: Path) -> None:
    row = of(one(tmp_path, SOON, [0.5, 0.6, 0.99, 0.7, 0.7, 0.7, 0.7, 0.7]))
    assert row["target"] == pytest.approx(0.7) and row["reached_round"] == 3


def test_equal_numbers_reach_their_own_mean(tmp_path: Path) -> None:
    row = of(one(tmp_path, [0.1 + 0.2] * 7, [0.1 + 0.2] * 7))
    assert (row["reached_round"], row["alone_round"]) == (1, 1)


def frame(**by_seed: list[float]) -> pd.DataFrame:
    rows = [
        (int(seed[1:]), round, auc)
        for seed, aucs in by_seed.items()
        for round, auc in enumerate(aucs, start=1)
    ]
    return pd.DataFrame(rows, columns=["seed", "round", "val"])


def test_its_interval_is_students() -> None:
    # t of 2 degrees of freedom is 4.302653, and 4.302653 x 0.1 / sqrt(3) = 0.248414.
    within = level_of(frame(s0=[0.1] * 9 + [0.6, 0.7, 0.8]))
    assert within == pytest.approx((0.7, 0.7 - 0.248414, 0.7 + 0.248414), abs=1e-6)
    over = level_of(frame(s0=[0.1] * 3 + [0.6], s1=[0.1] * 3 + [0.7], s2=[0.1] * 3 + [0.8]))
    assert over == pytest.approx(within)
    # The last quarter of 5 to 8 evaluations is two, of which there is no interval.
    few = level_of(frame(s0=[0.1] * 3 + [0.6, 0.8]))
    assert few.value == pytest.approx(0.7) and isnan(few.low)


def test_a_stated_target_goes_before_and_has_no_interval(tmp_path: Path) -> None:
    run = one(tmp_path, SOON, **{"rollout.target-auc": 0.8})
    assert targets_of(run).loc[0, "target"] == 0.8 and isnan(targets_of(run).loc[0, "target_low"])
    # Means of three: 0.6, 0.65, 0.7, 0.767, 0.8.
    assert of(run)["reached_round"] == 5 and isnan(of(run)["alone_round"])
    assert of(run, 0.65)["reached_round"] == 2


SENTENCES = {
    "sooner": (SOON, "reached {} by week 2, 2 weeks sooner than alone."),
    "later": ([0.6, *ALONE[:7]], "reached {} by week 5, 1 week later than alone."),
    "equal": (ALONE, "reached {} by week 4, at the same time as alone."),
    "never": (LUCKY, "never reached {} in 8 weeks; alone it did by week 4."),
}


@pytest.mark.parametrize("outcome", SENTENCES)
def test_a_hospital_has_one_sentence(outcome: str, tmp_path: Path) -> None:
    together, words = SENTENCES[outcome]
    (found,) = benefit.sentences(one(tmp_path, together))["hospital by hospital"]
    assert found == f"With fedavg alder {words.format('its target AUC of 0.700')}"


def test_the_table_has_words_for_what_never_was(tmp_path: Path) -> None:
    (never,) = benefit.table_by_site(one(tmp_path / "never", LUCKY)).to_dict("records")
    assert (never["reached"], never["alone"]) == ("never in 8 weeks", "week 4")
    assert never["against alone"] == "only alone"
    rising = [0.5 + 0.02 * round for round in range(8)]
    (only,) = benefit.table_by_site(one(tmp_path / "only", SOON, rising)).to_dict("records")
    # Alone it ends at 0.62 and 0.64, and has no time left to stay there.
    assert (only["target AUC"], only["alone"]) == ("0.630", "never in 8 weeks")
    assert only["against alone"] == "only together"
    (short,) = benefit.table_by_site(one(tmp_path / "short", [0.7] * 2, [0.6] * 2)).iloc
    assert short["reached"] == "too few evaluations"


def test_a_run_that_is_no_rollout_answers_in_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = one(tmp_path, SOON, plain=True)
    assert run.timeline.empty
    assert cli.main(["benefit", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "by round 3, 2 rounds sooner than alone." in printed
    # Its pictures are over virtual time.
    assert "picture" not in printed
    assert of(run)["reached_round"] == 3 and isnan(of(run)["reached_hours"])
    never = benefit.sentences(run, 0.95)["hospital by hospital"][0]
    assert never.endswith("never reached its target AUC of 0.950 in 8 rounds, nor did it alone.")


def several(folder: Path, together: list[list[float]], alone: list[list[float]]) -> Run:
    aucs = {("local", seed, "alder"): values for seed, values in enumerate(alone)}
    aucs |= {("fedavg", seed, "alder"): values for seed, values in enumerate(together)}
    return weekly(folder, aucs)


def test_of_several_seeds_the_median_counts_and_never_is_latest(tmp_path: Path) -> None:
    run = several(tmp_path / "few", [SOON, LUCKY, LUCKY], [ALONE] * 3)
    (row,) = benefit.table_by_site(run).to_dict("records")
    assert (row["reached"], row["against alone"]) == ("in 1 of 3 seeds only", "mostly alone")
    # Three equal seeds: the interval has no width.
    assert row["target AUC"] == "0.700 [0.700, 0.700]"
    (words,) = benefit.sentences(run)["hospital by hospital"]
    assert words.endswith("in 1 of 3 seeds only; alone it did by week 4.")


def test_what_was_so_in_some_seeds_is_never_said_of_all(tmp_path: Path) -> None:
    # The target is the mean of 0.7 and 0.5; the second seed alone never has it for long.
    run = several(tmp_path, [SOON, SOON], [ALONE, [0.5] * 8])
    (row,) = benefit.table_by_site(run).to_dict("records")
    assert (row["target AUC"], row["reached"]) == ("0.600", "week 0")
    assert (row["alone"], row["against alone"]) == ("in 1 of 2 seeds only", "mostly together")
    (words,) = benefit.sentences(run)["hospital by hospital"]
    assert words.endswith("by week 0; alone it did in 1 of 2 seeds only.")


def test_the_target_is_drawn_and_where_it_is_reached(tmp_path: Path) -> None:
    run = one(tmp_path, SOON)
    week = (2 * 168 + 2) / 168
    ax = panel(plots.rollout_convergence(run), "alder")
    assert list(line(ax, "target").get_ydata()) == pytest.approx([0.7, 0.7])
    mark = line(ax, "fedavg, reached")
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([week], [pytest.approx(0.7)])
    over = line(panel(rollout_benefit(run), "alder"), "fedavg, reached")
    assert (list(over.get_xdata()), list(over.get_ydata())) == ([week], [0])
    # It is an AUC of validation images.
    test = panel(plots.rollout_convergence(run, "test"), "alder")
    assert "target" not in [drawn.get_label() for drawn in test.lines]
