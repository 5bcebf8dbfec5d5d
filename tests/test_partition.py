"""Partitions: every image in one hospital, no group in two, and each kind does what it says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_sources import write_covid_ct, write_image, write_sars_cov_2

import federated.data as data
from federated.config.images import Data, Partition, Phantom
from federated.config.schema import Config
from federated.data import entry
from federated.data.dealing import partition
from federated.errors import UserError
from federated.phantom.scanner import apply_profile, profile_for
from federated.seeding import numpy_generator

KINDS = ("iid", "dirichlet", "quantity", "patient")


def table(groups: int, per_group: int = 2, positive: float = 0.5) -> pd.DataFrame:
    """Return a manifest of groups with one label each."""
    group = np.repeat(np.arange(groups), per_group)
    return pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(len(group))],
            "group": [f"g{i}" for i in group],
            "patient": [f"g{i}" for i in group],
            "label": (group < positive * groups).astype(int),
            "split": "train",
            "hospital": "",
        }
    )


def sizes(rows: pd.DataFrame, found: list[str]) -> np.ndarray:
    """Return images per (hospital, class)."""
    return pd.crosstab(np.array(found).astype(int), rows["label"]).to_numpy()


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    groups=st.integers(20, 60),
    sites=st.integers(1, 5),
    alpha=st.sampled_from([0.05, 0.5, 100.0]),
    seed=st.integers(0, 99),
)
def test_laws_of_every_kind(kind, groups, sites, alpha, seed):
    rows = table(groups)
    settings = Partition(kind=kind, sites=sites, alpha=alpha)
    found = partition.assign(rows, settings, seed=seed, drawn=True)
    assert set(found) == {str(number) for number in range(1, sites + 1)}
    homes = pd.DataFrame({"group": rows["group"], "home": found}).groupby("group")["home"]
    assert (homes.nunique() == 1).all(), "a group is in two hospitals"
    assert homes.first().value_counts().min() >= 3, "too few groups for three splits"
    assert found == partition.assign(rows, settings, seed=seed, drawn=True)
    shuffled = rows.sample(frac=1, random_state=seed)
    again = partition.assign(shuffled, settings, seed=seed, drawn=True)
    assert dict(zip(shuffled["path"], again, strict=True)) == dict(
        zip(rows["path"], found, strict=True)
    ), "the order of the images plays a part"


def test_iid_shares_out_each_class():
    rows = table(40, positive=0.25)
    found = partition.assign(rows, Partition("iid", 5), seed=0, drawn=True)
    assert sizes(rows, found).tolist() == [[12, 4]] * 5


def test_dirichlet_skews_labels_and_alpha_says_how_much():
    rows = table(400)

    def spread(alpha: float) -> float:
        found = partition.assign(rows, Partition("dirichlet", 4, alpha), seed=1, drawn=True)
        counts = sizes(rows, found)
        return float((counts[:, 1] / counts.sum(axis=1)).std())

    assert spread(0.2) > 0.2 > 0.05 > spread(1e6)


def test_dirichlet_hits_the_shares_that_were_drawn():
    rows = table(2000, per_group=1)
    found = partition.assign(rows, Partition("dirichlet", 4, 2.0), seed=3, drawn=True)
    shares = numpy_generator(3, "partition", 0, "shares").dirichlet([2.0] * 4, 2)
    np.testing.assert_allclose(sizes(rows, found) / 1000, shares.T, atol=0.002)


def test_quantity_skews_sizes_and_keeps_the_balance():
    rows = table(1000)
    counts = sizes(rows, partition.assign(rows, Partition("quantity", 4), seed=0, drawn=True))
    np.testing.assert_allclose(counts[:, 1] / counts.sum(axis=1), 0.5, atol=0.03)
    assert counts.sum(axis=1).max() > 3 * counts.sum(axis=1).min()


def test_by_patient_counts_patients():
    rows = table(10)
    rows.loc[len(rows)] = ["x.png", "g0", "g0", 1, "train", ""]
    found = partition.assign(rows, Partition("patient", 3), seed=0, drawn=True)
    homes = pd.DataFrame({"group": rows["group"], "home": found}).drop_duplicates()
    assert sorted(homes["home"].value_counts()) == [3, 3, 4]
    rows.loc[3, "patient"] = ""
    with pytest.raises(UserError, match=r"which 1 of 21 images lack, such as 3\.png; use iid"):
        partition.assign(rows, Partition("patient", 3), seed=0, drawn=True)


def test_by_column_a_group_goes_where_most_of_it_is():
    rows = table(3, per_group=3).assign(hospital=["a", "b", "b", "a", "a", "a", "b", "b", "a"])
    found = partition.assign(rows, Partition("column"), seed=0, drawn=True)
    assert found == ["b"] * 3 + ["a"] * 3 + ["b"] * 3


def test_too_few_groups():
    with pytest.raises(UserError, match=r"^8 patients or groups .* of 3 hospitals; lower"):
        partition.assign(table(8), Partition("iid", 3), seed=0, drawn=True)
    rows = table(8).assign(split=["train"] * 14 + ["test"] * 2)
    with pytest.raises(UserError, match="cannot fill the splits of 3 hospitals"):
        partition.assign(rows, Partition("iid", 3), seed=0, drawn=False)


@pytest.fixture
def config(tmp_path):
    folder = str(write_sars_cov_2(tmp_path / "sars"))
    return Config(
        data=Data(sars_cov_2=folder, cache=str(tmp_path / "cache"), image_size=32),
        partition=Partition("iid", 3),
        phantom=Phantom(sites=0),
    )


def all_images(site: data.SiteData) -> dict[str, bytes]:
    return {
        name: image.tobytes()
        for split in (site.train, site.val, site.test)
        for name, image in zip(split.ids, split.images, strict=True)
    }


def test_hospitals_of_a_data_set_hold_it_together(config):
    names = data.site_names(config)
    assert names == ("sars-cov-2-1", "sars-cov-2-2", "sars-cov-2-3")
    assert [sum(map(sum, one.counts.values())) for one in data.prepare(config)] == [8, 8, 8]
    parts = [all_images(data.load_site(config, name)) for name in names]
    whole = data.load_site(replace(config, partition=Partition()), "sars-cov-2")
    assert sum(map(len, parts)) == 24
    assert parts[0] | parts[1] | parts[2] == all_images(whole)


def test_the_official_split_is_kept(tmp_path):
    config = Config(
        data=Data(covid_ct=str(write_covid_ct(tmp_path / "c")), cache=str(tmp_path / "cache")),
        partition=Partition("iid", 2),
        phantom=Phantom(sites=0),
    )
    whole = data.load_site(replace(config, partition=Partition()), "covid-ct")
    parts = [data.load_site(config, name) for name in data.site_names(config)]
    for split in data.SPLITS:
        ids = [name for part in parts for name in part.split(split).ids]
        assert sorted(ids) == sorted(whole.split(split).ids)
    assert not any(one.drawn for one in data.prepare(config))


def test_shift_is_the_profile_of_the_hospitals_scanner(config):
    shifted = replace(config, data=replace(config.data, shift=1.0))
    name = "sars-cov-2-2"
    before = data.load_site(config, name)
    after = data.load_site(shifted, name)
    assert before.train.ids == after.train.ids, "a shift must not change the split"
    profile = profile_for(1, 1.0, 0)
    for old, new, path in zip(
        before.train.images, after.train.images, before.train.ids, strict=True
    ):
        rng = numpy_generator(0, "sars-cov-2", 0, f"scanner {path}")
        assert np.array_equal(new, apply_profile(old, profile, rng))
        assert not np.array_equal(new, old)


def test_shift_without_a_partition(config):
    plain = replace(config, partition=Partition())
    shifted = replace(plain, data=replace(plain.data, shift=0.5))
    assert data.site_names(shifted) == ("sars-cov-2",)
    before, after = (data.load_site(one, "sars-cov-2") for one in (plain, shifted))
    assert before.test.ids == after.test.ids
    assert not np.array_equal(before.test.images, after.test.images)


def test_by_any_column_of_a_manifest(tmp_path):
    rows = ["path,label,scanner,who"]
    for number in range(16):
        write_image(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{number % 2},{['GE', 'Siemens'][number // 8]},p{number}")
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows))
    config = Config(
        data=Data(
            manifest=str(path), columns="site=,patient=who", cache=str(tmp_path / "c"), resize=64
        ),
        partition=Partition("column", column="scanner"),
        phantom=Phantom(sites=0),
    )
    assert data.site_names(config) == ("GE", "Siemens")
    assert len(all_images(data.load_site(config, "GE"))) == 8
    summary = data.prepare(config)[0]
    assert set(entry.read(summary.folder).rows["hospital"]) == {"GE"}
    for column, sentence in (("", "cannot deal out"), ("scaner", r"did you mean 'scanner'\?")):
        wrong = replace(config, partition=Partition("column", column=column))
        with pytest.raises(UserError, match=sentence):
            data.site_names(wrong)
    path.write_text("\n".join(rows).replace("Siemens", "../x"))
    with pytest.raises(UserError, match=r"scanner has '\.\./x', which cannot name a hospital"):
        data.site_names(config)
    path.write_text("\n".join(rows).replace("Siemens", ""))
    with pytest.raises(UserError, match=r"'10\.png' has no scanner; fill"):
        data.site_names(config)
