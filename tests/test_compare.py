"""A finished run's evidence: from predictions on the disk to tables, paired by image and seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import RunTiny
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint
from test_plots import full_rows, site_folder, write_run

from federated import plots
from federated.commands.main import main
from federated.config.evaluation import Compare
from federated.data.grouping import groups_by_site
from federated.errors import UserError
from federated.runs.reading import Run
from federated.statistics import hospitals, methods, sites
from federated.statistics.images import scored
from federated.statistics.scored import Scored, grouping_note

SEEDS = (0, 1)


def made_run(folder: Path, *, images: str = "scan") -> Run:
    """Write a run of two methods at two sites with predictions of 30 test and 12 other images."""
    names = ("local", "fedavg")
    run = write_run(folder, full_rows(names, seeds=SEEDS), names, SEEDS)
    for site in ("alder", "birch"):
        for quality, method in enumerate(names):
            for seed in SEEDS:
                rng = np.random.default_rng([ord(site[0]), quality, seed])
                labels = [i % 2 for i in range(30)]
                scores = np.clip(
                    rng.normal(0.4 + 0.2 * np.array(labels) * (1 + quality), 0.2), 0, 1
                )
                lines = ["split,image,label,probability"]
                lines += [f'val,"v{i}",{i % 2},{0.2 + 0.5 * (i % 2)}' for i in range(12)]
                lines += [
                    f'test,"{images}{i}",{y},{p!r}'
                    for i, (y, p) in enumerate(zip(labels, scores.tolist(), strict=True))
                ]
                path = site_folder(run, site, method, seed) / "kept-000001.csv"
                path.write_text("\n".join(lines) + "\n")
    return run


def test_a_row_has_the_means_over_seeds_and_the_images_of_one(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    models = scored([run])
    table = sites.over_seeds(models).set_index(["site", "method"])
    by_seed = sites.by_seed(models).query("site == 'birch' and method == 'fedavg'")
    test = [run.predictions("birch", "fedavg", s).query("split == 'test'") for s in SEEDS]
    areas = [roc_auc_score(t["label"], t["probability"]) for t in test]
    row = table.loc["birch", "fedavg"]
    assert row["auc"] == pytest.approx(np.mean(areas))
    assert row["auc_low"] < min(areas) and max(areas) < row["auc_high"]
    assert (row["images"], row["positives"], row["seeds"]) == (30, 15, 2)
    # Validation parts 0.2 from 0.7, so halfway it is.
    assert row["threshold_least"] == row["threshold_most"] == pytest.approx(0.45)
    hits = [((t["probability"] >= 0.45) & (t["label"] == 1)).sum() / 15 for t in test]
    assert by_seed["sensitivity"].tolist() == pytest.approx(hits)
    assert row["sensitivity"] == pytest.approx(np.mean(hits))
    brier = [((t["probability"] - t["label"]) ** 2).mean() for t in test]
    assert row["brier"] == pytest.approx(np.mean(brier))
    assert "image by image at alder, birch" in grouping_note(models)


def test_methods_are_compared_on_the_same_images_seeds_and_draws(tmp_path: Path) -> None:
    models = scored([made_run(tmp_path / "run")])
    by_site = {(one.site, one.method): one for one in models}
    mine, alone = by_site["alder", "fedavg"], by_site["alder", "local"]
    table = methods.against(models, "local", Compare()).set_index("site").loc["alder"]
    assert table["difference"] == pytest.approx(mine.mean_auc.value - alone.mean_auc.value)
    # A model against itself differs nowhere, whatever is drawn.
    assert methods.mean_difference(mine, mine) == (0.0, 0.0, 0.0)
    assert table["margin"] == 0.03  # of 30 test images
    tested = methods.by_seed(models, "local")
    assert len(tested) == 4 and (tested["p_holm"] >= tested["p"]).all()
    [over] = methods.over_sites(tested).to_dict("records")
    assert (over["pairs"], over["better"]) == (4, int((tested["difference"] > 0).sum()))


def test_hospitals_are_summed_up_method_by_method(tmp_path: Path) -> None:
    models = scored([made_run(tmp_path / "run")])
    table = hospitals.over_hospitals(models).set_index("method")
    areas = [one.mean_auc.value for one in models if one.method == "local"]
    row = table.loc["local"]
    assert (row["mean"], row["worst"]) == pytest.approx((np.mean(areas), min(areas)))
    assert row["gap"] == pytest.approx(max(areas) - min(areas))
    assert min(areas) < row["pooled"] < max(areas)
    assert row["pooled_low"] < row["pooled"] < row["pooled_high"] < 1
    assert np.isnan(row["new_low"])  # of two hospitals


def one_hospital(name: str, scores: list[float], labels: list[int]) -> Scored:
    count = len(labels)
    return Scored(
        *(name, "fedavg", (0,), tuple(map(str, range(count))), np.array(labels)),
        *(np.array([scores]), np.arange(count), True, np.array([0.5])),
    )


def test_a_hospital_without_a_mistake_does_not_decide_what_is_pooled() -> None:
    """Its draws are all alike, which is no certainty: of four ill and four well patients."""
    perfect = one_hospital("perfect", [0.1] * 4 + [0.9] * 4, [0] * 4 + [1] * 4)
    low, high = proportion_confint(4, 4, method="beta")
    assert perfect.mean_auc == pytest.approx((1, low, high))
    upside_down = one_hospital("bad", [0.9] * 4 + [0.1] * 4, [0] * 4 + [1] * 4)
    assert upside_down.mean_auc == pytest.approx((0, 0, 1 - low))
    rng = np.random.default_rng(0)
    labels = [0, 1] * 100
    usual = [
        one_hospital(name, (rng.normal(0, 1, 200) + 0.5 * np.array(labels)).tolist(), labels)
        for name in "abc"
    ]
    alone, beside = hospitals.pooled(usual), hospitals.pooled([*usual, perfect])
    assert beside.hospitals == 4 and alone.hospitals == 3
    assert alone.mean < beside.mean < alone.high
    # One that ranks all alike has no spread at all, and says nothing of others.
    flat = one_hospital("flat", [0.5] * 8, [0] * 4 + [1] * 4)
    assert hospitals.pooled([*usual, flat]) == alone


def test_runs_on_other_images_are_not_compared(tmp_path: Path) -> None:
    one, other = made_run(tmp_path / "a"), made_run(tmp_path / "b", images="other")
    with pytest.raises(UserError, match="different images of alder"):
        scored([one, other])
    both = scored([one, made_run(tmp_path / "c")])
    assert {m.method for m in both} == {"a/local", "a/fedavg", "c/local", "c/fedavg"}


@pytest.mark.parametrize("content", ["", "split,image\ntest,a\n", "a,b\n1,2\n", "\x00\x01"])
def test_damaged_predictions_end_in_one_sentence(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path / "run")
    path = site_folder(run, "birch", "local", 1) / "kept-000001.csv"
    path.write_text(content)
    assert main(["compare", str(run.folder)]) == 2
    assert f"{path} is damaged" in capsys.readouterr().err
    path.unlink()
    assert main(["compare", str(run.folder)]) == 0


def test_patients_of_a_run_are_its_groups(run_tiny: RunTiny) -> None:
    run = run_tiny(methods="local,fedavg", rounds=1)
    models = scored([run])
    # A phantom's patient has two slices.
    assert all(one.is_grouped for one in models)
    assert all(2 * (one.groups.max() + 1) == len(one.images) for one in models)
    assert groups_by_site(run.study.common, ["no such site"]) == {}


def test_the_command_prints_and_writes_every_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made_run(tmp_path / "run").folder
    assert main(["compare", str(folder)]) == 0
    told = capsys.readouterr().out
    for title in ("Each hospital", "Each method against local", "Across hospitals"):
        assert title in told
    written = pd.read_csv(folder / "answers" / "compared-by-site.csv")
    assert set(written["verdict"]) <= {"better", "not worse", "worse", "undecided"}
    assert main(["compare", str(folder), "--to", "tulip"]) == 2
    assert "no such method" in capsys.readouterr().err


def drawn_rows(figure: Figure, title: str) -> list[tuple[list[float], list[float]]]:
    [ax] = [ax for ax in figure.axes if ax.get_title() == title]
    return [(list(map(float, d.get_xdata())), list(map(float, d.get_ydata()))) for d in ax.lines]


def test_figures_draw_the_intervals_of_the_tables(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    models = {(one.site, one.method): one for one in scored([run])}
    area = models["birch", "fedavg"].mean_auc
    assert ([area.low, area.high], [1.0, 1.0]) in drawn_rows(
        plots.comparison(run, model="kept"), "birch"
    )
    forest = drawn_rows(plots.forest(run, "kept"), "fedavg")
    assert ([area.low, area.high], [1.0, 1.0]) in forest
    assert ([area.value], [1.0]) in forest
    against = methods.against(list(models.values()), "local", Compare())
    row = against.set_index("site").loc["birch"]
    drawn = drawn_rows(plots.differences(run, "kept"), "birch")
    assert ([row["difference_low"], row["difference_high"]], [0.0, 0.0]) in drawn
    assert ([-0.03, -0.03], [0.0, 1.0]) in drawn


def test_reliability_and_decision_curves_hold_what_scikit_learn_finds(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    one = next(m for m in scored([run]) if (m.site, m.method) == ("birch", "fedavg"))
    labels, scores = np.tile(one.labels, 2), one.scores.ravel()
    found, told = calibration_curve(labels, scores, n_bins=10)
    lines = drawn_rows(plots.reliability(run, "kept"), "birch")
    assert any(
        len(x) == len(told) and np.allclose(x, told) and np.allclose(y, found) for x, y in lines
    )
    # At even odds: true less false positives, in share of all images.
    acted = one.scores >= 0.5
    signs = np.where(one.labels == 1, 1, -1)
    expected = (acted * signs).mean()
    heights = [
        y[9] for x, y in drawn_rows(plots.decision_curve(run, "kept"), "birch") if len(x) == 19
    ]
    assert any(height == pytest.approx(expected) for height in heights)


def test_figures_that_need_predictions_say_so_without(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    for draw in (plots.forest, plots.differences, plots.reliability, plots.decision_curve):
        with pytest.raises(plots.NothingToDrawError, match="no predictions"):
            draw(run)
