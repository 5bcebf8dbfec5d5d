"""A finished run's models on images from outside, and outside of this program."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY
from PIL import Image

from federated import engine
from federated.commands.main import main
from federated.commands.unseen import POLICIES
from federated.data import load_site
from federated.errors import UserError
from federated.learning.metrics import auc
from federated.questions import unseen
from federated.runs.reading import Run, load
from federated.storage import read_tensors
from federated.unseen import norms
from federated.unseen.evaluating import OWN, evaluated, matrix, probabilities
from federated.unseen.images import as_images, whole
from federated.unseen.models import compute_of, last_states, network_with, site_state
from federated.unseen.tuning import few_of, fine_tuned

SITE = "phantom-2"
DOCS = Path(__file__).parent.parent / "docs" / "STATISTICS.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Run:
    folder = tmp_path_factory.mktemp("unseen") / "run"
    places = {"folder": str(folder), "data.cache": str(data_cache)}
    changes = {"methods": "local,fedbn", "seeds": "0,1", "rounds": "1", "model.width": "0.1"}
    engine.run({**TINY, **places, **changes})
    return load(folder)


def as_files(run: Run, folder: Path) -> Path:
    """Write a site's test images as PNG files in a folder per class."""
    split = load_site(run.study.common, SITE).test
    for number, (pixels, label) in enumerate(zip(split.images, split.labels, strict=True)):
        place = folder / ("COVID" if label else "non-COVID")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(pixels)).save(place / f"{number:03d}.png")
    return folder


def test_a_model_says_of_files_what_it_said_of_the_same_images_in_the_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = as_files(run, tmp_path / "new")
    told = evaluated(run, folder, SITE, methods=["fedbn"], model="kept", policy=OWN)
    [one] = told
    for seed, scores in zip(one.seeds, one.scores, strict=True):
        before = run.predictions(SITE, "fedbn", seed).query("split == 'test'")
        assert sorted(scores) == pytest.approx(sorted(before["probability"]))
    # Without labels the same, and labels are not needed.
    words = ["--data", str(folder), "--as", SITE, "--method", "fedbn"]
    path = tmp_path / "told.csv"
    assert main(["predict", str(run.folder), *words, "--to", str(path)]) == 0
    assert sorted(pd.read_csv(path)["probability"]) == pytest.approx(sorted(one.scores[0]))
    assert main(["evaluate", str(run.folder), *words, "--to", str(tmp_path / "out")]) == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "by-seed.csv", "by-site.csv", "predictions.csv", "decision-curve.png", "reliability.png",
    }  # fmt: skip
    assert f"{one.site}: {len(one.labels)} images under fedbn, seeds " in capsys.readouterr().err
    assert main(["evaluate", str(run.folder), *words[:2], "--as", "phantm-2"]) == 2
    assert "did you mean 'phantom-2'?" in capsys.readouterr().err


def test_the_diagonal_of_the_matrix_is_what_the_run_measured(run: Run) -> None:
    table = matrix(run, "fedbn").set_index(["model_of", "at", "seed"])["auc"]
    assert len(table) == 3 * 3 * 2
    measured = run.selected("test").query("method == 'fedbn'")
    for row in measured.itertuples():
        assert table[row.site, row.site, row.seed] == pytest.approx(row.auc)


def test_the_federations_last_model_is_shared_weights_with_each_sites_own_norms(run: Run) -> None:
    states = last_states(run, "fedbn", 0)
    assert set(states) == {"phantom-1", "phantom-2", "phantom-3"}
    first, second = states["phantom-1"], states["phantom-2"]
    differ = {name for name in first if not torch.equal(first[name], second[name])}
    assert differ and all("running" in n or ".1." in n for n in differ)  # after each conv, .0
    # After a single round the model kept is the last one.
    kept = site_state(run, SITE, "fedbn", 0)
    assert all(torch.equal(kept[name], second[name]) for name in kept)


def test_norms_for_a_newcomer_follow_the_policies(run: Run) -> None:
    config = run.study.by_method["fedbn"]
    states, compute = last_states(run, "fedbn", 0), compute_of(config)
    images = as_images(whole(run.study.common, SITE), config.data.image_size)
    newcomer = norms.Newcomer("new", images)
    mean = norms.mean_state(states)
    for name, tensor in mean.items():
        stack = np.stack([state[name].double().numpy() for state in states.values()])
        if tensor.is_floating_point():
            assert tensor.numpy() == pytest.approx(stack.mean(axis=0), abs=1e-6)
    again = norms.re_estimated(mean, newcomer, config, 0, compute=compute)
    changed = {name for name in mean if not torch.equal(mean[name], again[name])}
    assert changed and all("running" in n or "num_batches" in n for n in changed)
    # One whose statistics are those of the new images already is the nearest.
    among = {**states, "alike": again}
    assert norms.nearest(among, newcomer, config, 0, compute=compute) == "alike"
    networks = [network_with(config, 0, state) for state in (mean, again)]
    assert norms.distance(networks[0], networks[0]) == 0 < norms.distance(*networks)
    assert set(POLICIES) == {OWN, *norms.POLICIES}


def test_an_export_is_read_by_the_five_lines_of_the_docs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--as", SITE, "--method", "fedbn", "--seed", "1", "--to", str(tmp_path)]
    assert main(["export", str(run.folder), *words]) == 0
    block = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block and len([line for line in block[1].splitlines() if "import" not in line]) <= 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block[1], names)  # noqa: S102
    network = names["network"]
    assert isinstance(network, torch.nn.Module) and not network.training
    kept = site_state(run, SITE, "fedbn", 1)
    assert all(torch.equal(kept[n], t) for n, t in network.state_dict().items())
    facts = json.loads((tmp_path / "config.json").read_text())
    assert (facts["of"]["site"], facts["of"]["seed"]) == (SITE, 1)
    assert facts["network"]["image_size"] == 32
    final = run.files.vault(SITE, "fedbn", 1) / "final.safetensors"
    assert set(read_tensors(final)[0]) == set(kept)


def test_few_labelled_images_are_of_both_classes_and_training_at_rate_0_moves_no_weight(
    run: Run,
) -> None:
    base = run.study.by_method["fedbn"]
    config = replace(base, personalise=replace(base.personalise, lr=0.0))
    images = as_images(whole(run.study.common, SITE), config.data.image_size)
    few = few_of(images, 6, SITE, seed=0)
    assert sorted(few.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    state = site_state(run, SITE, "fedbn", 0)
    compute = compute_of(config)
    tuned = fine_tuned(state, few, config, SITE, 0, compute=compute)
    weights = {name for name, _ in network_with(config, 0, state).named_parameters()}
    moved = {name for name in state if not torch.equal(state[name], tuned[name])}
    assert moved and not moved & weights
    tuned = fine_tuned(state, few, base, SITE, 0, compute=compute)
    assert any(not torch.equal(state[name], tuned[name]) for name in weights)


def test_a_hospital_is_left_out_and_judged_by_models_that_never_saw_it(
    tiny: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    given = tiny(methods="fedbn", rounds=1, model__width="0.1")
    found = unseen.ask(given, tmp_path / "loo", left_out=SITE, labelled=4)
    numbers = found.numbers.set_index("policy")["auc"]
    assert list(numbers.index) == ["mean", "nearest", "re-estimated", "fine-tuned", "alone"]
    without = load(tmp_path / "loo" / f"without-{SITE}")
    assert set(last_states(without, "fedbn", 0)) == {"phantom-1", "phantom-3"}
    alone = load(tmp_path / "loo" / f"alone-{SITE}").selected("test")
    assert numbers["alone"] == pytest.approx(alone["auc"].item())
    # Of two sites the nearest is one of them: its own model of the last round.
    test = load_site(without.study.common, SITE).test
    areas = [
        auc(probabilities(without, "fedbn", 0, state, test), test.labels)
        for state in last_states(without, "fedbn", 0).values()
    ]
    assert numbers["nearest"] in areas
    with pytest.raises(UserError, match="--labelled -1"):
        unseen.ask(given, tmp_path / "minus", labelled=-1)
    with pytest.raises(UserError, match="takes 3 hospitals"):
        unseen.ask({**given, "phantom.sites": "2"}, tmp_path / "two")
