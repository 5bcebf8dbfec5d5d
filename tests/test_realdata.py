"""A short federation of the two real hospitals; CONSILIUM_DATA names the folder that holds both."""

import os
from pathlib import Path

import numpy as np
import pytest

from federated.config.given import read_toml
from federated.config.study import parse
from federated.engine import run
from federated.runs.reading import load

ROOT = Path(__file__).parent.parent


@pytest.mark.realdata
def test_every_method_on_two_real_hospitals(tmp_path: Path) -> None:
    if "CONSILIUM_DATA" not in os.environ:
        pytest.skip("set CONSILIUM_DATA to the folder with covid-ct/ and sars-cov-2-ct/")
    data = Path(os.environ["CONSILIUM_DATA"])
    methods = "local,fedavg,fedprox,fedbn,silobn,moon,contrastive,consilium,pooled"
    given = {
        **read_toml(ROOT / "configs" / "two-hospitals.toml"),
        "data.covid-ct": str(data / "covid-ct"),
        "data.sars-cov-2": str(data / "sars-cov-2-ct"),
        "data.cache": str(tmp_path / "cache"),
        "data.image-size": 48,
        "folder": str(tmp_path / "run"),
        "engine.kind": "inline",
        "methods": methods,
        "seeds": 0,
        "eval.views": "centre",
        "rounds": 2,
        "train.max-steps": 4,
    }
    given = {key: value for key, value in given.items() if not key.startswith("method.")}
    run(given)
    results = load(given["folder"])
    test = results.selected("test")
    sizes = dict(zip(test["site"], test["num_examples"], strict=True))
    assert sizes["covid-ct"] == 105 + 98
    assert len(test) == len(methods.split(",")) * 2
    assert np.isfinite(test["auc"]).all()
    assert parse(given).by_method.keys() == set(test["method"])
