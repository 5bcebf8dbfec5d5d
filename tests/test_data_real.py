"""The real sites, where a user has them: set CONSILIUM_DATA to the folder that holds both."""

import os
from pathlib import Path

import numpy as np
import pytest

import federated.data as data
from federated.data import duplicates, images, manifest
from federated.settings import Config, Data, Phantom

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = os.environ.get("CONSILIUM_DATA")
    if not root:
        pytest.skip("set CONSILIUM_DATA to the folder that holds covid-ct/ and sars-cov-2-ct/")
    return Config(
        data=Data(
            covid_ct=str(Path(root) / "covid-ct"),
            sars_cov_2=str(Path(root) / "sars-cov-2-ct"),
            cache=str(tmp_path_factory.mktemp("cache")),
        ),
        phantom=Phantom(sites=0),
    )


@pytest.fixture(scope="module")
def summaries(config):
    return {summary.site: summary for summary in data.prepare(config)}


def test_covid_ct_has_the_official_split(summaries):
    assert summaries["covid-ct"].counts == {"train": (234, 191), "val": (58, 60), "test": (105, 98)}
    assert summaries["covid-ct"].notes == ()


def test_sars_cov_2_is_whole_and_split_by_class(summaries):
    counts = np.array(list(summaries["sars-cov-2"].counts.values()))
    assert counts.sum(axis=0).tolist() == [1011, 1018]
    np.testing.assert_allclose(
        counts / counts.sum(axis=0), np.array([[0.6, 0.15, 0.25]] * 2).T, atol=0.01
    )


def test_no_near_duplicate_crosses_the_split(summaries, config):
    rows = manifest.read_manifest(summaries["sars-cov-2"].folder / "manifest.parquet")
    folder = Path(config.data.sars_cov_2)
    thumbnails = np.stack([images.decode(folder / path, 32).thumbnail for path in rows["path"]])
    # Written out, not through near_pairs: an independent count.
    correlation = np.triu(np.corrcoef(thumbnails.reshape(len(rows), -1)), 1)
    first, second = np.nonzero(correlation > 0.95)
    split = rows["split"].to_numpy()
    assert len(first) == 465
    assert (split[first] == split[second]).all()
    found = sum(pairs.shape[1] for pairs in duplicates.near_pairs(thumbnails, 0.95))
    assert found == len(first)
