"""Three classes: metrics against an independent reference, and a whole run from a folder."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn import metrics as sklearn

from federated.commands.main import main
from federated.config.study import parse
from federated.engine import run
from federated.errors import UserError
from federated.learning.metrics import METRICS, auc, paired_auc_difference
from federated.learning.models import build_model
from federated.learning.multiclass import (
    class_aucs,
    multiclass_metrics,
    paired_macro_auc_difference,
)
from federated.learning.terms import class_weights
from federated.plots import NothingToDrawError, decision_curve, reliability, roc
from federated.report.summary import summary_table
from federated.runs.reading import Run, load
from federated.statistics import methods, sites
from federated.statistics.images import scored
from federated.sweeps.intervals import columns_of, scores_in
from federated.sweeps.results import scores_of

CLASSES = ("normal", "pneumonia", "covid")


def drawn(seed: int, count: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities with ties and labels of made-up images."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, count - classes)])
    raw = generator.integers(1, 8, (count, classes)) + 3.0 * np.eye(classes)[labels]
    return raw / raw.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(seed: int) -> None:
    probabilities, labels = drawn(seed)
    found = multiclass_metrics(probabilities, labels, 0.25)
    decided = probabilities.argmax(axis=1)
    report = sklearn.precision_recall_fscore_support(labels, decided, average="macro")
    matrices = sklearn.multilabel_confusion_matrix(labels, decided)
    specificity = np.mean([m[0, 0] / m[0].sum() for m in matrices])
    area = sklearn.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert found.keys() == set(METRICS)
    assert found["auc"] == pytest.approx(area)
    assert [found["precision"], found["sensitivity"], found["f1"]] == pytest.approx(report[:3])
    assert found["specificity"] == pytest.approx(specificity)
    assert found["accuracy"] == pytest.approx(sklearn.accuracy_score(labels, decided))
    expected = sklearn.balanced_accuracy_score(labels, decided)
    assert found["balanced_accuracy"] == pytest.approx(expected)
    assert found["loss"] == 0.25


def test_a_class_without_images_makes_the_macro_auc_undefined() -> None:
    probabilities, labels = drawn(1)
    assert math.isnan(multiclass_metrics(probabilities[labels > 0], labels[labels > 0], 0.0)["auc"])
    probabilities[3, 1] = np.nan
    assert all(map(math.isnan, list(multiclass_metrics(probabilities, labels, np.nan).values())))


def test_with_two_classes_it_is_the_auc_of_the_second_and_its_paired_test() -> None:
    (a, labels), (b, _) = drawn(2, classes=2), drawn(3, classes=2)
    assert class_aucs(a, labels) == pytest.approx([auc(a[:, 1], labels)] * 2)
    expected = paired_auc_difference(a[:, 1], b[:, 1], labels)
    assert paired_macro_auc_difference(a, b, labels) == pytest.approx(expected)


def test_the_error_of_a_macro_difference_is_that_of_many_draws() -> None:
    """Of images drawn anew within their class, a thousand times."""
    (a, labels), (b, _) = drawn(4, 240), drawn(5, 240)
    b = np.roll(b, 1, axis=1) * 0.5 + a * 0.5
    difference, error = paired_macro_auc_difference(a, b, labels)
    generator = np.random.default_rng(0)
    places = [np.flatnonzero(labels == k) for k in range(3)]
    draws = []
    for _ in range(1000):
        rows = np.concatenate([generator.choice(own, len(own)) for own in places])
        one, other = (class_aucs(scores[rows], labels[rows]).mean() for scores in (a, b))
        draws.append(one - other)
    assert np.std(draws) == pytest.approx(error, rel=0.1)
    assert difference == pytest.approx(class_aucs(a, labels).mean() - class_aucs(b, labels).mean())


def test_class_weights_count_a_class_that_is_not_there_as_one_image() -> None:
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 3)
    torch.testing.assert_close(weights, torch.tensor([4 / 9, 4 / 3, 4 / 3]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two hospitals' images of three classes, each of a brightness of its own."""
    root = tmp_path_factory.mktemp("three")
    generator = np.random.default_rng(0)
    for site in ("elm", "oak"):
        for k, name in enumerate(("Normal", "bacterial", "COVID")):
            place = root / site / name
            place.mkdir(parents=True)
            for number in range(14):
                grey = generator.normal(70 + 40 * k, 25, (48, 48)).clip(0, 255).astype(np.uint8)
                Image.fromarray(grey).save(place / f"{name}-{number}.png")
    return root


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    place = tmp_path_factory.mktemp("runs")
    given = {
        "engine.kind": "inline",
        "methods": "local,fedbn,consilium",
        "rounds": 3,
        "data.folder": str(folder),
        "data.classes": ",".join(CLASSES),
        "data.labels": "bacterial=pneumonia",
        "data.image-size": 32,
        "data.duplicate-correlation": 1,
        "data.cache": str(place / "cache"),
        "model.name": "convnet",
        "model.width": 0.25,
        "train.batch-size": 8,
        "train.precision": "fp32",
        "personalise.epochs": 1,
        "folder": str(place / "run"),
    }
    run(given)
    return load(place / "run")


def test_a_run_learns_three_classes_and_tells_each_from_the_rest(finished: Run) -> None:
    told = finished.predictions("elm", "fedbn", 0, "final")
    names = [f"probability-{k}" for k in range(3)]
    assert list(told.columns) == ["split", "image", "label", *names]
    np.testing.assert_allclose(told[names].sum(axis=1), 1.0)
    assert set(told["label"]) == {0, 1, 2}
    rows = finished.metrics.query("site == 'elm' and method == 'fedbn' and model == 'final'")
    rows = rows[rows["split"] == "test"].set_index("metric")["value"]
    test = told[told["split"] == "test"]
    expected = multiclass_metrics(test[names].to_numpy(), test["label"].to_numpy(), rows["loss"])
    for name in METRICS:
        assert rows[name] == pytest.approx(expected[name], nan_ok=True), name
    assert rows["auc"] > 0.6  # they differ in brightness


def test_tables_hold_each_class_and_the_mean_over_classes(finished: Run) -> None:
    models = scored([finished], "final")
    by_class, each = sites.by_class(models), sites.over_seeds(models)
    assert list(by_class["class"].unique()) == list(CLASSES)
    for (site, method), rows in by_class.groupby(["site", "method"]):
        [one] = each[(each["site"] == site) & (each["method"] == method)].to_dict("records")
        for name in ("auc", "sensitivity", "specificity"):
            assert one[name] == pytest.approx(rows[name].mean())
            assert (
                one[f"{name}_low"] <= one[name] + 1e-12 and one[name] <= one[f"{name}_high"] + 1e-12
            )
    assert len(methods.by_seed(models, "local")) == 4
    text = summary_table(finished)
    assert "AUC against the rest" in text and "ROC, reliability" in " ".join(text.split())


def test_a_sweep_keeps_the_score_of_each_class(finished: Run) -> None:
    table = finished.predictions("elm", "fedbn", 0, "final")
    kept = scores_of("elm", {"final": table}, {})
    columns = columns_of(kept, "final")
    assert columns == ["final-0", "final-1", "final-2"]
    test = table[table["split"] == "test"]
    np.testing.assert_array_equal(
        scores_in(kept, "final"), test[[f"probability-{k}" for k in range(3)]].to_numpy()
    )
    two = kept.rename(columns={"final-1": "final"})[["site", "image", "label", "group", "final"]]
    assert scores_in(two, "final").shape == (len(test),)


@pytest.mark.parametrize("draw", [roc, reliability, decision_curve])
def test_a_figure_of_two_classes_says_so_in_a_sentence(finished: Run, draw) -> None:
    with pytest.raises(NothingToDrawError, match="is of two classes, and this run has 3"):
        draw(finished)


@pytest.mark.slow
def test_the_command_draws_reports_compares_predicts_and_exports(
    finished: Run, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(finished.folder)
    assert main(["report", place]) in (0, None)
    assert main(["compare", place]) in (0, None)
    assert "Each class against the rest" in capsys.readouterr().out
    given = [f"data.folder={folder}", f"data.classes={','.join(CLASSES)}"]
    given += ["data.labels=bacterial=pneumonia", "data.duplicate-correlation=1"]
    assert main(["data", "check", *given]) in (0, 1, None)
    assert "normal + pneumonia + covid" in capsys.readouterr().out
    assert main(["checklist", place]) in (0, None)
    assert "Probability of each of normal, pneumonia, covid" in next(
        path.read_text() for path in finished.folder.rglob("checklist*.md")
    )
    words = ["--as", "elm", "--method", "fedbn", "--to"]
    table = tmp_path / "said.csv"
    assert main(
        ["predict", place, "--data", str(folder / "oak" / "COVID"), *words, str(table)]
    ) in (0, None)
    assert len(pd.read_csv(table).filter(like="probability-").columns) == 3
    assert main(["export", place, *words, str(tmp_path / "out")]) in (0, None)
    facts = json.loads((tmp_path / "out" / "config.json").read_text())
    model = build_model(**facts["network"])
    model.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"))
    assert "(batch, 3)" in facts["output"] and facts["classes"][2] == "covid"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data.classes": "a,b", "data.folder": "x"}, "three or more names"),
        ({"data.classes": "a,b,b", "data.folder": "x"}, "none of them twice"),
        ({"data.classes": "a,b,c"}, "phantoms, COVID-CT and"),
    ],
)
def test_classes_that_cannot_be_get_a_sentence(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse({"methods": "fedavg", **settings})


def test_a_label_of_no_class_gets_a_sentence(folder: Path, tmp_path: Path) -> None:
    given = {"data.folder": str(folder), "data.classes": "normal,viral,covid"}
    given |= {"methods": "fedavg", "folder": str(tmp_path / "run"), "data.cache": str(tmp_path)}
    with pytest.raises(UserError, match="'bacterial' is no known class; set data"):
        run(given)
    with pytest.raises(UserError, match="write one of normal, viral, covid"):
        run({**given, "data.labels": "bacterial=1"})
