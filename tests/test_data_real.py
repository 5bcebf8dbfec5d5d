"""The real sites, where a user has them: set CONSILIUM_DATA to the folder that holds them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import federated.data as data
from federated.commands.main import main
from federated.config.images import Data, Partition, Phantom
from federated.config.schema import Config
from federated.data.checking import leaks, survey
from federated.data.dealing import duplicates
from federated.data.formats import images
from federated.data.sources import manifest

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
    thumbnails = np.stack(
        [images.decode(folder / path, config.data)[0].thumbnail for path in rows["path"]]
    )
    # Written out, not through near_pairs: an independent count.
    correlation = np.triu(np.corrcoef(thumbnails.reshape(len(rows), -1)), 1)
    first, second = np.nonzero(correlation > 0.95)
    split = rows["split"].to_numpy()
    assert len(first) == 465
    assert (split[first] == split[second]).all()
    found = sum(pairs.shape[1] for pairs in duplicates.near_pairs(thumbnails, 0.95))
    assert found == len(first)


@pytest.fixture(scope="module")
def found(config):
    return leaks.find_leaks(survey.survey(config), config.data.duplicate_correlation)


def test_the_official_split_of_covid_ct_leaks_two_pairs_with_opposite_labels(found):
    assert {
        (row.path_1, row.path_2, row.split_1, row.split_2) for row in found.pairs.itertuples()
    } == {
        ("CT_NonCOVID/71%0.jpg", "CT_COVID/kjr-21-e24-p5-29.png", "train", "test"),
        ("CT_NonCOVID/71%1.jpg", "CT_COVID/kjr-21-e24-p5-31.png", "train", "test"),
    }
    assert found.pairs["opposite"].all() and found.ours == 0


def test_what_is_written_of_the_official_split_is_read_back(config, tmp_path):
    """Two images of the test split are the same figure as two of the training split."""
    target = tmp_path / "all.csv"
    (tmp_path / "cache").mkdir()
    given = [f"data.covid-ct={config.data.covid_ct}", f"data.cache={config.data.cache}"]
    assert main(["data", "manifest", *given, "--to", str(target)]) == 0
    again = Data(manifest=str(target), cache=str(tmp_path / "cache"))
    (one,) = survey.survey(Config(data=again, phantom=Phantom(sites=0)))
    assert one.summary.counts == {"train": (234, 191), "val": (58, 60), "test": (105, 98)}


@pytest.fixture(scope="module")
def dicom(config, tmp_path_factory):
    path = Path(os.environ["CONSILIUM_DATA"]) / "dicom-ct" / "labels.csv"
    given = Data(manifest=str(path), columns="site=", cache=str(tmp_path_factory.mktemp("cache")))
    (one,) = survey.survey(Config(data=given, phantom=Phantom(sites=0)))
    return one


def test_dicom_headers_that_lie(dicom):
    assert dicom.name == "dicom-ct" and len(dicom.entry.rows) == 28
    assert set(dicom.entry.rows["odd"]) == {"modality NM; windowed before export"}
    # Windowed for the lung: air outside and in the lung dark, the body white.
    assert 60 < np.median(dicom.entry.pixels[:, 30:43, 15:60]) < 200


def test_two_patients_of_the_dicom_set_are_one(dicom):
    groups = dicom.entry.rows.groupby("patient")["group"].unique().map(list).to_dict()
    assert groups == {"P1": ["P1"], "P2": ["P2"], "P3": ["P2"], "P5": ["P5"]}
    assert dicom.entry.rows.groupby("group")["split"].nunique().max() == 1


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "quantity"])
def test_partitions_of_real_sites_leak_nothing(config, kind):
    dealt = replace(config, partition=Partition(kind, 6), data=replace(config.data, covid_ct=""))
    sites = survey.survey(dealt)
    assert leaks.find_leaks(sites, 0.95).pairs.empty
    assert sum(len(one.entry.rows) for one in sites) == 2029
