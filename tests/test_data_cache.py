"""The cache serves what the files are now, whole or not at all, and the public functions use it."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from test_data_sources import write_covid_ct, write_image, write_sars_cov_2

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data import cache
from federated.data.formats import images
from federated.errors import UserError


@pytest.fixture
def config(tmp_path):
    return Config(
        data=Data(
            covid_ct=str(write_covid_ct(tmp_path / "covid ct")),
            sars_cov_2=str(write_sars_cov_2(tmp_path / "sars")),
            cache=str(tmp_path / "cache"),
            image_size=32,
        ),
        phantom=Phantom(sites=0),
    )


@pytest.fixture
def decodes(monkeypatch):
    """Count the files that are decoded."""
    decoded, original, lock = [], images.decode, threading.Lock()

    def counting(path, data):
        with lock:
            decoded.append(path)
        return original(path, data)

    monkeypatch.setattr(images, "decode", counting)
    return decoded


def test_prepare_and_load(config, tmp_path):
    told = []
    summaries = data.prepare(config, lambda *progress: told.append(progress))
    covid, sars = summaries
    assert covid.counts == {"train": (3, 3), "val": (1, 1), "test": (2, 2)}
    assert (covid.groups, sars.groups) == (8, 24)
    assert sum(map(sum, sars.counts.values())) == 24
    assert {(site, done) for site, done, _ in told} >= {("covid-ct", 12), ("sars-cov-2", 24)}
    site = data.load_site(config, "covid-ct")
    assert site.train.images.shape == (6, 37, 37) and site.train.labels.dtype == np.int64
    assert isinstance(site.test.images, np.memmap) and not site.test.images.flags.writeable
    for split in (site.train, site.val, site.test):
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            fresh = images.decode(tmp_path / "covid ct" / name, config.data)[0].square
            assert np.array_equal(image, fresh)
            assert label == name.startswith("CT_COVID")


def test_a_second_start_decodes_nothing(config, decodes):
    data.prepare(config)
    assert len(decodes) == 36
    data.prepare(config)
    data.load_site(config, "sars-cov-2")
    assert len(decodes) == 36


def test_a_change_of_a_file_is_seen(config, decodes, tmp_path):
    before = data.load_site(config, "sars-cov-2")
    path = tmp_path / "sars" / "COVID" / "Covid (3).png"
    state = path.stat()
    write_image(path, 77)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # even with the old time put back
    after = data.load_site(config, "sars-cov-2")
    assert len(decodes) == 48
    assert before.train.images.sum() != after.train.images.sum() or path.name in str(
        after.val.ids + after.test.ids
    )


@pytest.mark.parametrize(
    ("change", "rebuilt"),
    [
        ({"image_size": 48}, {"covid-ct", "sars-cov-2"}),
        ({"split_seed": 1}, {"sars-cov-2"}),
        ({"duplicate_correlation": 0.9}, {"covid-ct", "sars-cov-2"}),
        ({}, set()),
    ],
)
def test_settings_rebuild_what_depends_on_them(config, change, rebuilt):
    other = replace(config, data=replace(config.data, **change))
    before = {summary.site: summary.folder for summary in data.prepare(config)}
    after = {summary.site: summary.folder for summary in data.prepare(other)}
    assert {site for site in before if before[site] != after[site]} == rebuilt


def test_a_failed_build_leaves_nothing(config, tmp_path):
    bad = tmp_path / "sars" / "COVID" / "Covid (3).png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(UserError, match=r"Covid \(3\)\.png: is damaged or cut short"):
        data.load_site(config, "sars-cov-2")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_builder_left_is_not_served_and_swept_after_a_day(config, tmp_path):
    old, recent = tmp_path / "cache" / ".building-old", tmp_path / "cache" / ".building-recent"
    for part in (old, recent):
        part.mkdir(parents=True)
        (part / "images.npy").write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    assert len(data.load_site(config, "covid-ct").train) == 6
    assert not old.exists() and recent.exists()


def test_builders_at_once_do_no_harm(config, tmp_path):
    gate = threading.Barrier(4)

    def build(part):
        (part / "a").write_text("whole")
        gate.wait()

    with ThreadPoolExecutor(4) as pool:
        entries = list(
            pool.map(lambda _: cache.publish(tmp_path / "cache", "key", build), range(4))
        )
    assert set(entries) == {tmp_path / "cache" / "key"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["key"]
    assert (entries[0] / "a").read_text() == "whole"


def test_a_damaged_entry_is_refused(config):
    entry = data.prepare(config)[0].folder
    (entry / "images.npy").write_bytes((entry / "images.npy").read_bytes()[:-100])
    with pytest.raises(UserError, match="the cache entry is damaged; delete this folder"):
        data.load_site(config, "covid-ct")


def test_a_cache_that_cannot_be_written(config, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = replace(config, data=replace(config.data, cache=str(tmp_path / "file" / "cache")))
    with pytest.raises(UserError, match=r"the cache cannot be written .* set data\.cache"):
        data.load_site(blocked, "covid-ct")


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder("") == tmp_path / "consilium"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder("") == tmp_path / ".cache" / "consilium"


def test_site_names(config):
    names = data.site_names(replace(config, phantom=Phantom(sites=11)))
    assert names[0] == "covid-ct" and names[-1] == "sars-cov-2"
    assert names[1:4] == ("phantom-01", "phantom-02", "phantom-03") and names[11] == "phantom-11"
    with pytest.raises(
        UserError,
        match=r"there is no hospital; set one of data\.covid-ct, data\.sars",
    ):
        data.site_names(Config(phantom=Phantom(sites=0)))
    with pytest.raises(UserError, match=r"no site 'covidct' among 2 \(did you mean 'covid-ct'\?"):
        data.load_site(config, "covidct")


def test_phantoms_are_cached_too(tmp_path):
    config = Config(
        data=Data(cache=str(tmp_path), image_size=32), phantom=Phantom(sites=2, patients=8)
    )
    first, second = data.prepare(config)
    assert (first.site, first.groups) == ("phantom-1", 8) and first.folder != second.folder
    site = data.load_site(config, "phantom-1")
    assert len(site.train) + len(site.val) + len(site.test) == 16
    patients = [
        {name.rsplit("-", 1)[0] for name in split.ids}
        for split in (site.train, site.val, site.test)
    ]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    again = data.prepare(replace(config, phantom=Phantom(sites=1, patients=8)))
    assert again[0].folder == first.folder, "the number of sites must not rebuild a site"
