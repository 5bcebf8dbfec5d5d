"""What ``consilium doctor`` finds, and what ``--dry-run`` foretells."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federated.commands import machine
from federated.commands.main import main
from federated.config.study import parse
from federated.data import prepare
from federated.engine import run
from federated.engine.estimate import estimates
from federated.learning.batches import Images, round_batches
from federated.learning.training import Trained
from federated.methods.seam import SiteRound


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave Ray alone: tests/test_raystart.py starts it."""
    monkeypatch.setattr(machine, "_ray", lambda: iter(()))


def test_it_looks_at_everything_and_wrong_data_is_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = {one.what: one for one in machine.examined(["phantom.sites=2"])}
    assert {"Python", "packages", "processor", "precision", "GPU", "runs", "cache", "data"} <= set(
        found
    )
    assert found["data"].found.startswith("2 hospitals: phantom-1, phantom-2")
    assert main(["doctor", f"data.folder={tmp_path}/none"]) == 1
    assert "wrong" in capsys.readouterr().out


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federated.runs.environment.PACKAGES", ("no-such-package-at-all",))
    (wrong,) = [one for one in machine.examined([]) if one.state == machine.WRONG]
    assert "no-such-package-at-all" in wrong.found


def test_a_dry_run_counts_steps_as_training_does_and_writes_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "methods": "local,fedavg",
        "rounds": 3,
        "phantom.sites": 2,
        "phantom.patients": 12,
        "model.name": "convnet",
        "data.image-size": 16,
        "train.batch-size": 8,
        "data.cache": str(tmp_path / "cache"),
        "engine.kind": "inline",
    }
    sites = prepare(parse(given).common)
    for train in ({}, {"train.max-steps": 2}, {"train.max-steps": 7}, {"train.local-epochs": 2}):
        study = parse({**given, **train})
        local, fedavg = estimates(study, sites)
        per_round = 0
        for site in sites:
            count = sum(site.counts["train"])
            images = Images(np.zeros((count, 16, 16), np.uint8), torch.arange(count) % 2, 16)
            settings = study.by_method["local"].train
            batches = round_batches(images, settings, torch.Generator(), torch.device("cpu"))
            per_round += len(list(batches))
        assert local.steps == fedavg.steps == 3 * per_round
        assert local.sent == 0 < fedavg.sent
        # Each round validation images once; at the end both splits in twenty views.
        val, test = (sum(sum(site.counts[split]) for site in sites) for split in ("val", "test"))
        assert local.looks == 3 * val + 20 * (val + test)
        assert math.isfinite(local.seconds) and local.seconds > 0
    folder = tmp_path / "never"
    words = [f"{key}={value}" for key, value in given.items()]
    assert main(["run", *words, f"folder={folder}", "--dry-run"]) == 0
    assert not folder.exists()
    assert "nothing was run" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["fedavg", "ditto", "fedrep", "apfl", "ms-net"])
def test_a_dry_run_counts_each_time_that_a_method_trains(
    method: str, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny(methods=method, rounds=1, engine__kind="inline")
    steps, fit = list[int](), SiteRound.fit

    def counted(self: SiteRound, *words: Any, **named: Any) -> Trained:
        trained = fit(self, *words, **named)
        steps.append(trained.steps)
        return trained

    monkeypatch.setattr(SiteRound, "fit", counted)
    run(given)
    [estimate] = estimates(parse(given), prepare(parse(given).common))
    assert sum(steps) == estimate.steps
