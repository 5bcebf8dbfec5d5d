"""Figures of a rollout's answers against the numbers of a timeline computed by hand."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rollouts import made_up, weekly
from test_plots import panel
from test_rollout_answers import SITES, tiny
from test_rollout_plots import texts

from federated import plots
from federated.answers import benefit, disturbances, joining, waiting
from federated.plots.reached import EDGE
from federated.runs.reading import Run, load

MANY = [f"hospital-{i:02d}" for i in range(40)]


def marks(ax: Axes, label: str) -> list[tuple[float, str]]:
    """Return week and marker of a way to the target, lane by lane."""
    lines = [line for line in ax.lines if line.get_label() == label]
    return [(round(line.get_xdata()[0], 9), str(line.get_marker())) for line in lines]


def week(hours: float) -> float:
    return round(hours / 168, 9)


def lengths(ax: Axes, container: int = 0) -> list[float]:
    return [bar.get_width() for bar in ax.containers[container]]


def drawn(figure: Figure, title: str) -> list[list[float]]:
    """Return the heights of the lines of the panel whose title begins so."""
    (ax,) = [ax for ax in figure.axes if ax.get_title().startswith(title)]
    return [list(line.get_ydata()) for line in ax.lines]


SOON, LATER = [0.7] * 8, [0.5, 0.5, 0.5, 0.7, 0.7, 0.7, 0.7, 0.7]
"""Their means of three are at 0.7 from round 1 and from round 6 on."""


def two(folder: Path, seeds: int = 1, **settings: object) -> Run:
    """Return a rollout in which birch is never good with another seed than 0."""
    aucs = {}
    for seed in range(seeds):
        aucs |= {("local", seed, site): LATER for site in SITES}
        aucs[("fedavg", seed, "alder")] = SOON
        aucs[("fedavg", seed, "birch")] = [0.1] * 8 if seed else SOON
    return weekly(folder, aucs, **settings)


def test_a_lane_has_the_weeks_together_and_alone(tmp_path: Path) -> None:
    ax = panel(benefit.figure(two(tmp_path)), "fedavg")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["alder", "birch"]
    assert marks(ax, "reached_week") == [(week(2), "o")] * 2
    assert marks(ax, "alone_week") == [(week(5 * 168 + 2), "o")] * 2
    assert "not reached in this run" not in texts(ax)


def test_methods_of_a_study_s_own_are_told_apart(tmp_path: Path) -> None:
    bases = {"method.mine.base": "fedavg", "method.yours.base": "fedavg"}
    run = made_up(tmp_path, SITES, 3, {}, methods=["local", "fedavg"])
    for name in ("metrics.csv", "timeline.csv"):
        lines = (tmp_path / name).read_text().splitlines()
        of = [line for line in lines if line.startswith("fedavg,")]
        mine, yours = ([line.replace("fedavg", m, 1) for line in of] for m in ("mine", "yours"))
        kept = [line for line in lines if line not in of]
        (tmp_path / name).write_text("\n".join([*kept, *mine, *yours]) + "\n")
    config = "".join(f'{key} = "{value}"\n' for key, value in bases.items())
    config = 'methods = ["local", "mine", "yours"]\nrounds = 3\n' + config
    (tmp_path / "config.toml").write_text(config)
    figure = benefit.figure(load(run.folder))
    colours = {
        line.get_color()
        for title in ("mine", "yours")
        for line in panel(figure, title).lines
        if line.get_label() == "reached_week"
    }
    assert len(colours) == 2


def test_what_was_never_reached_is_an_arrow_beyond_the_end(tmp_path: Path) -> None:
    run = two(tmp_path, **{"rollout.hospital.birch.target-auc": 0.75})
    ax = panel(benefit.figure(run), "fedavg")
    # The run ends with the evaluation of round 8.
    late = (week(EDGE * (7 * 168 + 2)), ">")
    assert marks(ax, "reached_week") == [(week(2), "o"), late]
    assert marks(ax, "alone_week") == [(week(5 * 168 + 2), "o"), late]
    assert "not reached in this run" in texts(ax)


def test_the_mark_of_several_seeds_is_their_median_and_never_is_later_than_all(
    tmp_path: Path,
) -> None:
    ax = panel(benefit.figure(two(tmp_path, 3)), "fedavg")
    late = (week(EDGE * (7 * 168 + 2)), ">")
    assert marks(ax, "reached_week") == [(week(2), "o"), late]
    assert "a seed" in texts(ax)


def test_of_two_seeds_one_that_never_reached_it_leaves_no_mark_in_between(tmp_path: Path) -> None:
    ax = panel(benefit.figure(two(tmp_path, 2)), "fedavg")
    assert marks(ax, "reached_week")[1] == (week(EDGE * (7 * 168 + 2)), ">")


def test_of_many_hospitals_the_share_that_has_reached_its_target_is_drawn(tmp_path: Path) -> None:
    run = made_up(
        tmp_path, MANY, 6, {"rollout.group.late.count": 10, "rollout.group.late.go-live": "2"}
    )
    (ax,) = benefit.figure(run, 0.1).axes
    live, alone, together = ax.lines
    assert live.get_ydata()[-1] == 1.0
    # 30 of 40 are there from the start.
    assert live.get_ydata()[list(live.get_xdata()).index(2) - 1] == pytest.approx(30 / 40)
    # So little everyone has, also who comes late.
    assert alone.get_ydata()[-1] == 1.0
    for line in (live, alone, together):
        assert (np.diff(line.get_ydata()) >= 0).all()


def test_hours_are_stacked_and_beside_them_is_who_held_everyone_up(tmp_path: Path) -> None:
    spent, held = waiting.figure(tiny(tmp_path)).axes
    assert [label.get_text() for label in spent.get_yticklabels()] == list(SITES)
    # Computing, transfer, waiting of alder and birch; as in test_waiting_by_hand.
    assert [lengths(spent, place) for place in range(3)] == [[22, 24], [6, 4], [4, 0]]
    assert [bar.get_x() for bar in spent.containers[2]] == [28, 28]
    assert lengths(held) == [0, 4]


def test_of_many_hospitals_those_that_held_everyone_up_are_drawn(tmp_path: Path) -> None:
    slow = {f"rollout.hospital.{MANY[-1]}.speed": 0.5, "rollout.image-seconds": 60.0}
    figure = waiting.figure(made_up(tmp_path, MANY, 2, slow))
    spent, _ = figure.axes
    names = [label.get_text() for label in spent.get_yticklabels()]
    assert len(names) == 30 and names[0] == MANY[-1]
    assert str(figure.get_suptitle()).startswith("The 30 of 40 hospitals")


def test_nobody_held_anyone_up_is_said(tmp_path: Path) -> None:
    _, held = waiting.figure(made_up(tmp_path, SITES, 2, {})).axes
    assert [text.get_text() for text in held.texts] == ["no round waited for one hospital alone"]


def test_a_newcomer_has_its_gain_and_how_the_others_moved(tmp_path: Path) -> None:
    own, others = joining.figure(tiny(tmp_path)).axes
    assert [label.get_text() for label in own.get_yticklabels()] == ["birch, week 1"]
    # As in test_joining_is_of_newcomers_and_of_methods_that_share; the first line is zero.
    assert own.lines[1].get_xdata() == pytest.approx([0.02])
    assert others.lines[1].get_xdata() == pytest.approx([0.05])


def test_many_newcomers_are_dots_over_the_week_in_which_they_joined(tmp_path: Path) -> None:
    settings = {"rollout.group.late.count": 35, "rollout.group.late.go-live": "2"}
    own, others = joining.figure(made_up(tmp_path, MANY, 5, settings)).axes
    for ax in (own, others):
        assert list(ax.lines[1].get_xdata()) == [2] * 35


def test_a_disturbance_has_the_hospital_and_the_others_at_three_moments(tmp_path: Path) -> None:
    settings = {
        "rollout.hospital.alder.new-scanner": "2",
        "rollout.hospital.birch.leave": "2",
    }
    figure = disturbances.figure(tiny(tmp_path, **settings))
    local_others, local_own, others, own = drawn(figure, "alder: new scanner")
    assert own == pytest.approx([(0.7 + 0.8) / 2, 0.75, 0.75])
    assert others == pytest.approx([0.65, 0.7, 0.7])
    assert local_own == pytest.approx([(0.6 + 0.7) / 2, 0.8, 0.8])
    assert local_others == pytest.approx([0.5, 0.6, 0.6])


def test_a_hospital_that_has_left_has_no_last_auc(tmp_path: Path) -> None:
    run = made_up(tmp_path, SITES, 4, {"rollout.hospital.birch.leave": "2"})
    own = drawn(disturbances.figure(run), "birch: left")[-1]
    assert np.isfinite(own[0]) and np.isnan(own[1:]).all()


def test_of_many_disturbances_those_with_the_greatest_fall_are_drawn_in_time_order(
    tmp_path: Path,
) -> None:
    outages = {f"rollout.hospital.{name}.outages": str(i % 5 + 1) for i, name in enumerate(MANY)}
    figure = disturbances.figure(made_up(tmp_path, MANY, 7, outages))
    assert str(figure.get_suptitle()) == "The 12 of 40 disturbances after which AUC fell most"
    weeks = [int(ax.get_title().split("week ")[1].split()[0]) for ax in figure.axes]
    assert len(weeks) == 12 and weeks == sorted(weeks)


@pytest.mark.parametrize("answer", [benefit, waiting, joining])
def test_a_run_with_nobody_together_has_none_of_them(answer: ModuleType, tmp_path: Path) -> None:
    run = made_up(tmp_path, SITES, 2, {}, methods=["local"])
    with pytest.raises(plots.NothingToDrawError):
        answer.figure(run)
