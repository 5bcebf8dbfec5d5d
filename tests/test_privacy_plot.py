"""AUC against epsilon: what is drawn are the numbers of the run."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from test_compare import SEEDS, drawn_rows, made_run

from federated import plots
from federated.plots import NothingToDrawError
from federated.runs.reading import Run, load
from federated.statistics.images import scored


def noisy_run(folder: Path) -> Run:
    """Write a run whose ``fedavg`` told of an epsilon that grows with the rounds."""
    run = made_run(folder)
    with (folder / "metrics.csv").open("a", newline="") as file:
        for seed in SEEDS:
            for site in ("alder", "birch"):
                for round in (1, 2, 5):
                    row = ["fedavg", seed, round, site, "train", "current", "epsilon"]
                    told = round * (1 + seed / 10) + (site == "alder")
                    csv.writer(file, lineterminator="\n").writerow([*row, told, 80])
    return load(run.folder)


def test_auc_lies_over_what_is_spent_in_the_end(tmp_path: Path) -> None:
    run = noisy_run(tmp_path / "run")
    drawn = drawn_rows(plots.privacy(run, "kept"), "birch")
    tests = [run.predictions("birch", "fedavg", s).query("split == 'test'") for s in SEEDS]
    areas = [roc_auc_score(t["label"], t["probability"]) for t in tests]
    spent = [5 * (1 + seed / 10) for seed in SEEDS]
    dots = next(row for row in drawn if row[0] == pytest.approx(spent))
    assert dots[1] == pytest.approx(areas)
    models = {(one.site, one.method): one for one in scored([run])}
    noisy, free = (models["birch", name].mean_auc for name in ("fedavg", "local"))
    place = float(np.mean(spent))
    assert ([place, place], [noisy.low, noisy.high]) in drawn
    assert ([place], [noisy.value]) in drawn
    assert ([0.0, 1.0], [free.value, free.value]) in drawn


def test_a_run_without_noise_has_nothing_to_set_auc_against(tmp_path: Path) -> None:
    with pytest.raises(NothingToDrawError, match="no method of the run has noise"):
        plots.privacy(made_run(tmp_path / "run"))
