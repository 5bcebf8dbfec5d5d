"""Figures, tables and the page of a rollout against the numbers of made-up run folders."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from rollouts import made_up, weekly, write_rollout
from test_plots import METHOD_NAMES, full_rows, line, panel, write_run
from test_rollout_answers import tiny
from test_summary import Page, cells

from federated import plots
from federated.answers import answers, cost
from federated.answers.benefit import table_by_method, table_by_site
from federated.plots.rollout_benefit import rollout_benefit
from federated.plots.terminal import printed as printed_table
from federated.plots.text import markdown
from federated.report import save_all, summary_table, write_summary
from federated.report.gallery import drawings, plot_in
from federated.report.markup import sentence
from federated.runs.reading import Run, load

FIVE = ("alder", "birch", "cedar", "dogwood", "elm")
BUSY = {
    "rollout.image-seconds": 600.0,
    "rollout.start": "2026-01-05",
    "rollout.hospital.birch.go-live": "4",
    "rollout.hospital.birch.uplink": 0.0005,
    "rollout.hospital.cedar.outages": "3-5,8",
    "rollout.hospital.dogwood.garbage": "6-7",
    "rollout.hospital.dogwood.leave": "2026-03-09",
    "rollout.hospital.elm.go-live": "2",
    "rollout.hospital.elm.miss": 0.3,
    "rollout.hospital.elm.speed": 0.3,
    "rollout.hospital.alder.new-scanner": "7",
}
ROLLOUT = {
    "rollout",
    "rollout-convergence",
    "rollout-target",
    "rollout-benefit",
    "rollout-waiting",
    "rollout-cost",
    "rollout-joining",
    "rollout-disturbances",
}


@pytest.fixture
def five(tmp_path: Path) -> Run:
    return made_up(tmp_path, FIVE, 12, BUSY)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.figure.legends[0].get_texts()]  # type: ignore[union-attr]


def site_text(run: Run) -> str:
    """Return the per-hospital targets as Markdown."""
    return "\n".join(markdown(table_by_site(run)))


def test_lanes_are_in_the_order_of_joining_and_everything_is_in_the_legend(five: Run) -> None:
    (ax,) = plots.rollout(five).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["dogwood", "alder", "cedar", "elm", "birch"]
    assert texts(ax) == [
        "live",
        "outage",
        "garbage",
        "computing",
        "transfer",
        "misses a round",
        "update dropped",
        "goes live",
        "new scanner",
        "leaves",
    ]
    assert list(line(ax, "new scanner").get_xdata()) == [7]
    assert list(line(ax, "new scanner").get_ydata()) == [1]
    # 2026-03-09 is 9 weeks after 2026-01-05.
    assert list(line(ax, "leaves").get_xdata()) == [9]
    # Elm and birch; the others are there from the start.
    assert sorted(line(ax, "goes live").get_xdata()) == [2, 4]
    dropped = five.timeline.query("method == 'fedavg' and activity == 'dropped'")
    np.testing.assert_allclose(
        sorted(line(ax, "update dropped").get_xdata()), sorted(dropped["start"] / 168)
    )


def test_alone_a_hospital_misses_the_same_rounds(five: Run) -> None:
    weeks = [
        sorted(line(plots.rollout(five, method).axes[0], "misses a round").get_xdata())
        for method in ("local", "fedavg")
    ]
    assert weeks[0] == weeks[1] and len(weeks[0]) > 0


def test_computing_too_short_for_a_bar_is_a_tick_a_round(tmp_path: Path) -> None:
    run = made_up(tmp_path, FIVE[:2], 8, {"rollout.image-seconds": 1.0})
    (ax,) = plots.rollout(run).axes
    assert texts(ax) == ["live", "a round's computing"]
    ticks = line(ax, "a round's computing")
    assert sorted(set(ticks.get_xdata())) == list(range(8)) and len(ticks.get_xdata()) == 2 * 8


def test_a_rollout_of_one_round_that_takes_no_time_is_drawn(tmp_path: Path) -> None:
    (ax,) = plots.rollout(made_up(tmp_path, FIVE[:2], 1, {})).axes
    # A lane reaches to the end of the round's slot.
    assert ax.get_xlim()[1] == pytest.approx(1, abs=0.1)


def test_of_many_lanes_some_are_named_and_the_figure_fits_a_page(tmp_path: Path) -> None:
    sites = [f"hospital-{i:03d}" for i in range(100)]
    settings = {"rollout.group.wave.count": 60, "rollout.group.wave.every": 0.1}
    run = made_up(tmp_path, sites, 8, settings)
    figure = plots.rollout(run)
    (ax,) = figure.axes
    assert len(ax.get_yticks()) == 15 and ax.get_ylim()[0] == pytest.approx(99.6)
    assert figure.get_figheight() < 9
    saved = {path.stem for path in save_all(run, tmp_path / "plots")}
    assert saved >= ROLLOUT - {"rollout-disturbances"}


def test_convergence_is_over_the_hours_of_each_evaluation(tmp_path: Path) -> None:
    figure = plots.rollout_convergence(tiny(tmp_path))
    drawn = line(panel(figure, "birch"), "fedavg")
    np.testing.assert_allclose(drawn.get_xdata(), [183 / 168, 349 / 168])
    np.testing.assert_allclose(drawn.get_ydata(), [0.65, 0.7])
    (own,) = [drawn for drawn in panel(figure, "birch").lines if drawn.get_label()[0] == "_"]
    assert list(own.get_xdata()) == [1, 1]
    (others,) = panel(figure, "alder").collections
    assert [path.vertices[0, 0] for path in others.get_paths()] == [1]
    test = plots.rollout_convergence(load(tmp_path), "test")
    np.testing.assert_allclose(line(panel(test, "birch"), "fedavg").get_ydata(), [0.55, 0.6])


def test_whoever_joins_after_the_end_stretches_no_axis(tmp_path: Path) -> None:
    run = made_up(tmp_path, FIVE[:3], 4, {"rollout.hospital.cedar.go-live": "90"})
    (lanes,) = plots.rollout(run).axes
    assert [label.get_text() for label in lanes.get_yticklabels()] == ["alder", "birch"]
    for figure in (plots.rollout_convergence(run), rollout_benefit(run)):
        assert figure.axes[0].get_xlim()[1] < 5


def test_an_absence_is_a_gap_over_virtual_time(five: Run) -> None:
    drawn = line(panel(plots.rollout_convergence(five), "cedar"), "fedavg")
    # Rounds 1 to 12 begin in weeks 0 to 11; away in weeks 3, 4 and 8.
    assert [i for i, auc in enumerate(drawn.get_ydata()) if np.isnan(auc)] == [3, 4, 8]
    assert np.isfinite(drawn.get_xdata()).all()


def test_the_mean_benefit_is_over_the_hospitals_of_a_round(tmp_path: Path) -> None:
    mean = line(panel(rollout_benefit(tiny(tmp_path)), "mean of hospitals"), "fedavg, raw")
    np.testing.assert_allclose(
        mean.get_ydata(), [0.1, (0.1 + 0.15) / 2, (-0.05 + 0.1) / 2], atol=1e-12
    )
    np.testing.assert_allclose(mean.get_xdata(), np.array([12, 182.5, 345.5]) / 168)


def test_cost_is_in_money_only_if_everyone_has_a_price(tmp_path: Path) -> None:
    price = "rollout.hospital.{}.cost-per-hour".format
    some = cost.figure(tiny(tmp_path / "some", **{price("birch"): 2.0})).axes[0]
    assert some.get_xlabel() == "virtual hours of computing"
    assert (list(line(some, "birch").get_xdata()), list(line(some, "alder").get_xdata())) == (
        [24],
        [22],
    )
    prices = {price("birch"): 2.0, price("alder"): 1.0}
    every = cost.figure(tiny(tmp_path / "every", **prices)).axes[0]
    assert "currency" in every.get_xlabel()
    assert list(line(every, "birch").get_xdata()) == [48]
    assert list(line(every, "birch").get_ydata()) == [pytest.approx(0.02)]


def test_a_run_that_is_no_rollout_says_so_and_has_none_of_the_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(), METHOD_NAMES)
    assert not ROLLOUT & {name for name, _ in drawings(run)}
    for draw in (plots.rollout, plots.rollout_convergence, rollout_benefit):
        with pytest.raises(plots.NothingToDrawError, match="no rollout"):
            draw(run)
    assert "Rollout" not in summary_table(run)
    assert "virtual" not in Page(write_summary(run, draw=False)).text


def test_a_rollout_without_local_lacks_what_compares_with_it(tmp_path: Path) -> None:
    run = made_up(tmp_path, FIVE[:3], 4, {"rollout.target-auc": 0.5}, methods=["fedavg"])
    saved = {path.stem for path in save_all(run, tmp_path / "plots")}
    drawn = {"rollout", "rollout-convergence", "rollout-target", "rollout-waiting"}
    assert saved & ROLLOUT == drawn
    assert list(table_by_method(run).columns) == ["method", "reached"]
    assert "Who reached the target" in Page(write_summary(run, draw=False)).text


def test_an_unfinished_rollout_has_a_page(tmp_path: Path) -> None:
    whole = made_up(tmp_path / "whole", FIVE[:3], 4, {})
    rows = whole.metrics.query("model == 'current' and method == 'local' and round == 1")
    spans = whole.timeline.query("method == 'local' and round == 1")
    run = write_rollout(
        tmp_path / "begun",
        rows.itertuples(index=False, name=None),
        spans.itertuples(index=False, name=None),
        sites=FIVE[:3],
    )
    saved = save_all(run, tmp_path / "plots")
    assert {path.stem for path in saved} & ROLLOUT == {"rollout", "rollout-convergence"}
    assert "No model has been kept yet." in summary_table(run)
    assert "Hours and waiting" not in Page(write_summary(run, draw=False)).text
    with pytest.raises(plots.NothingToDrawError, match="fedavg"):
        plots.rollout(run, "fedavg")
    empty = write_rollout(tmp_path / "empty", [], [], sites=FIVE[:3])
    assert save_all(empty, tmp_path / "none") == []


def test_the_page_holds_the_tables_the_figures_and_virtual_dates(five: Run) -> None:
    page = Page(write_summary(five))
    lines = page.text.split("\n")
    # Each figure is there for a desk and for a phone.
    assert len(page.sources) == 2 * len(list((five.folder / "plots").iterdir()))
    for table in (table for answer in answers() for table in answer.tables):
        assert not table.rows(five).empty and table.title in lines and sentence(table.note) in lines
    waiting = lines.index("Hours and waiting")
    assert lines.index("Convergence") < lines.index("Over time") < waiting
    # A figure stands right behind the table that it belongs to.
    assert (
        waiting < lines.index(plot_in("rollout-waiting").caption) < lines.index("Costs and gains")
    )
    # Birch joins in week 4.
    assert "2026-02-02" in lines[lines.index("Newcomers") :]


def test_the_printed_table_names_a_few_hospitals_and_counts_many(five: Run) -> None:
    printed = summary_table(five)
    assert printed_table(table_by_method(five)) in printed
    assert printed_table(table_by_site(five)) in printed
    many = made_up(five.folder / "many", [f"s{i}" for i in range(13)], 2, {})
    printed = summary_table(many)
    assert printed_table(table_by_method(many)) in printed and "target AUC" not in printed


def test_the_tables_have_times_and_words_for_never(tmp_path: Path) -> None:
    aucs = {
        ("local", 0, "alder"): [0.5] * 4 + [0.6] * 4,
        ("local", 0, "birch"): [0.5] * 8,
        ("fedavg", 0, "alder"): [0.6] * 8,
        ("fedavg", 0, "birch"): [0.5] * 8,
    }
    run = weekly(tmp_path, aucs, **{"rollout.hospital.birch.target-auc": 0.9})
    text = site_text(run)
    # Alone alder's mean of three is 0.6 from round 7 on, and then two evaluations are left.
    alder = ["0.600", "week 0", "never in 8 weeks", "only together", "0.500"]
    assert cells(text, "alder", "fedavg")[2:] == alder
    birch = ["0.900", "never in 8 weeks", "never in 8 weeks", "neither", "–"]
    assert cells(text, "birch", "fedavg")[2:] == birch
    (counts,) = table_by_method(run).to_dict("records")
    assert (counts["reached"], counts["alone"], counts["only together"]) == (
        "1 of 2",
        "0 of 2",
        "1",
    )
