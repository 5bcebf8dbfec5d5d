"""Figures of single images: whose they show, and that they show what the models really said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RunTiny
from PIL import Image
from sklearn.decomposition import PCA
from test_plots import full_rows, write_run
from torch.nn import functional as F

from federated import plots
from federated.config.study import parse
from federated.data.classes import class_words
from federated.data.site import Split
from federated.data.sources.labels import CLASSES, UNNAMED
from federated.learning.network import network_of
from federated.plots.embeddings import principal
from federated.plots.patients import showable
from federated.report import write_summary
from federated.report.conclusion import conclusion
from federated.unseen.embedded import MOST_IMAGES, embedded
from federated.unseen.explained import middle_view
from federated.unseen.judged import Judged, judged, last_images


@pytest.mark.parametrize("shape", [(40, 7), (5, 30), (9, 2)])
def test_components_are_those_of_a_pca(shape: tuple[int, int]) -> None:
    points = np.random.default_rng(1).normal(size=shape) * np.linspace(1, 3, shape[1])
    pca = PCA(2).fit(points)
    found, shares = principal(points)
    np.testing.assert_allclose(shares, pca.explained_variance_ratio_)
    np.testing.assert_allclose(np.abs(found), np.abs(pca.transform(points)), atol=1e-9)
    np.testing.assert_allclose(found, principal(points[:, ::-1])[0], atol=1e-9)


def test_points_that_are_all_alike_or_on_a_line_have_a_map_too() -> None:
    points, shares = principal(np.ones((4, 3)))
    assert not points.any() and not shares.any()
    points, shares = principal(np.array([[0.0], [3.0]]))
    np.testing.assert_allclose(points, [[-1.5, 0], [1.5, 0]])
    np.testing.assert_allclose(shares, [1, 0])


def test_patients_are_shown_only_where_that_was_asked(tmp_path: Path) -> None:
    sites = ["alder", "phantom-1", "phantom-2"]
    mixed = write_run(tmp_path / "a", full_rows(sites=sites), **{"phantom.sites": 2})
    assert list(showable(mixed, patients=False)) == sites[1:]
    assert list(showable(mixed, patients=True)) == sites
    real = write_run(tmp_path / "b", full_rows(sites=["alder"]), **{"phantom.sites": 0})
    with pytest.raises(plots.NothingToDrawError, match="only if that is asked for"):
        plots.examples(real)
    with pytest.raises(plots.NothingToDrawError, match="only if that is asked for"):
        plots.embeddings(real, "fedavg", 0)


def test_a_page_of_patients_holds_no_image_unless_it_is_asked_for(
    run_tiny: RunTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hospitals of a run are phantoms; here they are made to pass for real ones."""
    run = run_tiny(rounds=1)
    monkeypatch.setattr("federated.plots.patients.phantom_names", lambda common: ())
    some = [plot for plot in plots.PLOTS if plot.is_of_images]
    assert len(some) == 2
    monkeypatch.setattr("federated.report.gallery.declared", lambda: some)
    of_images = ('id="figure-examples"', 'id="figure-embeddings-fedavg"')
    page = write_summary(run).read_text()
    assert not any(name in page for name in of_images)
    assert not list(run.files.plots.glob("e[mx]*"))
    page = write_summary(run, patients=True).read_text()
    assert all(name in page for name in of_images)
    assert len(list(run.files.plots.glob("e[mx]*"))) == 2
    write_summary(run)
    assert not list(run.files.plots.glob("e[mx]*"))


def test_an_embedding_is_that_of_the_hospitals_own_model(run_tiny: RunTiny) -> None:
    run = run_tiny(methods="fedbn", rounds=1)
    config = run.study.by_method["fedbn"]
    split = last_images(run, "phantom-2")
    count = min(MOST_IMAGES, len(split))
    with torch.no_grad():
        x = middle_view(config, split, range(count))
        _, first = network_of(config, 0).eval()(x)
    found = embedded(run, "phantom-2", "fedbn", 0)
    np.testing.assert_allclose(found.before, F.normalize(first).numpy(), atol=1e-6)
    assert np.abs(found.after - found.before).max() > 0.01
    np.testing.assert_array_equal(found.labels, split.labels[:count])
    table = plots.embedding_map(run, "fedbn", 0)
    assert set(table["site"]) == {"phantom-1", "phantom-2", "phantom-3"}
    before = table[table["when"] == "before"]
    assert (before.groupby("site").size() == count).all()


def test_a_map_is_of_the_method_where_hospitals_stay_with_their_own_models(
    run_tiny: RunTiny,
) -> None:
    run = run_tiny(methods="local,fedbn", rounds=2, **{"personalise.margin": "1000"})
    assert run.predictions("phantom-2", "fedbn", 0, "final").equals(
        run.predictions("phantom-2", "local", 0, "final")
    )
    own, together = (embedded(run, "phantom-2", method, 0).after for method in ("local", "fedbn"))
    assert np.abs(own - together).max() > 1e-3


def test_hits_and_misses_are_the_surest_first() -> None:
    labels = np.array([1, 0, 1, 0, 1])
    split = Split(np.zeros((5, 2, 2), np.uint8), labels, tuple("abcde"))
    known = Judged(split, np.array([0.9, 0.8, 0.1, 0.3, 0.4]), threshold=0.4)
    assert known.right.tolist() == [True, False, False, True, True]  # 0.4 is called positive
    assert known.surest(9, right=True) == [0, 3, 4]
    assert known.surest(1, right=False) == [1]


def test_examples_have_the_probabilities_that_the_run_kept(run_tiny: RunTiny) -> None:
    run = run_tiny(rounds=1)
    known = judged(run, "phantom-1", "fedavg", 0, "final")
    table = run.predictions("phantom-1", "fedavg", 0, "final").set_index("image")
    assert known.scores.tolist() == table.loc[list(known.split.ids), "probability"].tolist()
    shown = [ax.get_xlabel() for ax in plots.examples(run).axes if ax.get_xlabel()]
    first = (known.surest(1, right=True) or known.surest(1, right=False))[0]
    assert shown[0] == f"{known.scores[first]:.2f} {CLASSES[known.split.labels[first]]}"


def test_classes_have_the_names_of_their_owner(tmp_path: Path) -> None:
    for name in ("covid", "bacterial"):
        for number in range(3):
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (40, 40), 20 * number).save(path)
    given = {"data.folder": str(tmp_path / "images"), "data.labels": "bacterial=0"}
    assert class_words(parse(given).common) == ("bacterial", "covid")
    run = write_run(tmp_path / "run", full_rows(methods=["fedavg"]), ["fedavg"], **given)
    assert "tell covid from bacterial images at each hospital?" in conclusion(run).question
    assert class_words(parse({"phantom.sites": 2}).common, "phantom-1") == CLASSES
    assert class_words(parse({"data.folder": str(tmp_path / "gone")}).common) == UNNAMED
