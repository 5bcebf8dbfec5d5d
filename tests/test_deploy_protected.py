"""Hospitals with noise and masks, one of them killed: it ends with the bits of the simulation."""

import json
import threading
from pathlib import Path

import pandas as pd
import pytest
from test_deploy import ROOT, events, kill_after_round_1, wait_until
from test_laws import numbers

from clients.protection import ACCOUNT
from federated.commands.deploying import write_policy
from federated.config.study import parse
from federated.deploy.local import opened
from federated.deploy.submission import write_run_config
from federated.runs.reading import load

PROTECTED = {
    "methods": "fedbn",
    "privacy.unit": "site",
    "privacy.clip": 1,
    "privacy.noise": 5,
    "privacy.randomness": "seeded",  # a secret of a site's own would give bits of its own
    "privacy.secure-aggregation": True,
}
TINY = {
    "rounds": 2,
    "phantom.sites": 3,
    "phantom.patients": 12,
    "data.image-size": 32,
    "model.name": "convnet",
    "model.width": 0.25,
    "train.batch-size": 8,
    "train.precision": "fp32",
}
SITES = ("phantom-1", "phantom-2", "phantom-3")


@pytest.mark.deploy
def test_a_killed_hospital_goes_on_and_no_account_is_smaller(tmp_path: Path, run_tiny) -> None:
    folder, settings = tmp_path / "deployment", {**TINY, **PROTECTED}
    policy = write_policy(folder, parse(settings))
    own = {"data.cache": str(tmp_path / "cache"), "policy": str(policy)}
    with opened(folder, dict.fromkeys(SITES, own)) as deployment:
        config = write_run_config(deployment.folder, settings, deployment.hospitals)
        submit = ("run", ".", "--stream", "--run-config", str(config))
        victim = threading.Thread(target=kill_after_round_1, args=(deployment,))
        victim.start()
        first = deployment.flwr(*submit, cwd=ROOT)
        victim.join()
        assert "run-ended" not in events(folder), "the run must have missed the killed node"
        before = accounts(folder / "hospitals")
        deployment.start_node("phantom-2")
        wait_until(lambda: not deployment.ended(), 60.0)
        second = deployment.flwr(*submit, cwd=ROOT)
        assert "run-ended" in events(folder), first + second
    found, after = load(folder / "run"), accounts(folder / "hospitals")
    words = {key.replace(".", "__").replace("-", "_"): v for key, v in PROTECTED.items()}
    expected = run_tiny("simulation", phantom__sites=3, **words)
    pd.testing.assert_frame_equal(
        numbers(expected, "fedbn"), numbers(found, "fedbn"), check_exact=True
    )
    shared = "fedbn/seed-0/shared.safetensors"
    there, here = (run.folder / shared for run in (expected, found))
    assert there.read_bytes() == here.read_bytes()
    assert after == accounts(expected.folder / "sites") and len(after) == len(SITES)
    assert all(entries == after[site][: len(entries)] for site, entries in before.items())


def accounts(folder: Path) -> dict[str, list[dict[str, object]]]:
    """Return what each site has spent, from the vaults under a folder with a folder a site."""
    return {
        path.relative_to(folder).parts[0]: json.loads(path.read_text())
        for path in folder.rglob(ACCOUNT)
    }
