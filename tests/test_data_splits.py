"""Laws of the groups and the splits: nothing leaks, everything is somewhere, shares are near."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.data.dealing import duplicates, splits
from federated.errors import UserError

THUMBNAILS = np.random.default_rng(0).integers(0, 256, (40, 32, 32), dtype=np.uint8)
SHARES = {"val_fraction": 0.15, "test_fraction": 0.25, "site": "a"}


def groups_of(thumbnails, patients=None, hashes=None, threshold=0.95):
    count = len(thumbnails)
    return duplicates.group_images(
        [f"i{index}" for index in range(count)],
        patients or [""] * count,
        hashes or [str(index) for index in range(count)],
        thumbnails,
        threshold=threshold,
    )


def test_correlation_is_pearsons():
    rows = duplicates.standardise(THUMBNAILS)
    expected = np.corrcoef(THUMBNAILS.reshape(40, -1))
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 40, 64])
def test_pairs_do_not_depend_on_the_block(block):
    found = np.concatenate(list(duplicates.near_pairs(THUMBNAILS, 0.03, block)), axis=1)
    correlation = np.triu(np.corrcoef(THUMBNAILS.reshape(40, -1)), 1)
    assert set(map(tuple, found.T)) == set(zip(*np.nonzero(correlation > 0.03), strict=True))


def test_a_chain_is_one_group():
    pairs = iter([np.array([[0], [3]]), np.array([[3, 1], [4, 2]])])
    assert duplicates.components(6, pairs).tolist() == [0, 1, 1, 0, 0, 5]


def test_merging_in_parts_changes_nothing(monkeypatch):
    batches = [np.array([[0], [3]]), np.array([[3, 1], [4, 2]]), np.array([[2], [4]])]
    whole = duplicates.components(6, iter(batches)).tolist()
    monkeypatch.setattr(duplicates, "PENDING", 0)
    assert duplicates.components(6, iter(batches)).tolist() == whole == [0, 0, 0, 0, 0, 5]


def test_brighter_and_noisier_is_a_near_duplicate():
    copy = np.clip(THUMBNAILS[:1] * 0.6 + 40, 0, 255).astype(np.uint8)
    found = groups_of(np.concatenate([THUMBNAILS[:3], copy]))
    assert found == ["like i0", "like i1", "like i2", "like i0"]


def test_constant_images_are_alike_only_by_their_hash():
    flat = np.full((3, 32, 32), 7, np.uint8)
    assert len(set(groups_of(flat))) == 3
    assert len(set(groups_of(flat, hashes=["x", "x", "y"]))) == 2


def test_patients_who_look_alike_are_one_person():
    twin = np.concatenate([THUMBNAILS[:1]] * 3)
    assert groups_of(twin, patients=["q", "p", ""]) == ["p", "p", "p"]
    assert groups_of(twin, patients=["q", "p", ""], threshold=1.0) == ["q", "p", "like i2"]


@st.composite
def sites(draw):
    groups = draw(st.integers(12, 60))
    sizes = draw(st.lists(st.integers(1, 6), min_size=groups, max_size=groups))
    labels = draw(st.lists(st.integers(0, 1), min_size=groups, max_size=groups))
    names = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    truth = [label for label, size in zip(labels, sizes, strict=True) for _ in range(size)]
    return names, np.array(truth)


@settings(deadline=None)
@given(site=sites(), seed=st.integers(0, 9), shuffle=st.randoms())
def test_laws(site, seed, shuffle):
    names, labels = site
    found = splits.split_groups(names, labels, seed=seed, **SHARES)
    assert len(found) == len(names) and set(found) == {"train", "val", "test"}
    assert len(set(zip(names, found, strict=True))) == len(set(names)), "a group is in two splits"
    order = list(range(len(names)))
    shuffle.shuffle(order)
    again = splits.split_groups([names[i] for i in order], labels[order], seed=seed, **SHARES)
    assert again == [found[i] for i in order], "the order of the files plays a part"
    for label in (0, 1):
        if len({n for n, t in zip(names, labels, strict=True) if t == label}) >= 3:
            there = {s for s, t in zip(found, labels, strict=True) if t == label}
            assert there == {"train", "val", "test"}
    for label, total in enumerate(np.bincount(labels, minlength=2)):
        for split, share in (("train", 0.6), ("val", 0.15), ("test", 0.25)):
            count = sum(s == split and t == label for s, t in zip(found, labels, strict=True))
            assert abs(count - share * total) <= 6.5, "further off than a largest group"


def test_shares_are_near_on_a_large_site():
    labels = np.arange(2000) % 2
    groups = [f"g{i // 6}" for i in range(2000)]  # mixed groups
    found = np.array(splits.split_groups(groups, labels, seed=0, **SHARES))
    for label in (0, 1):
        part = found[labels == label]
        assert abs((part == "val").mean() - 0.15) < 0.01
        assert abs((part == "test").mean() - 0.25) < 0.01


def test_another_seed_is_another_split_and_no_fraction_is_no_split():
    labels, names = np.arange(100) % 2, [str(i) for i in range(100)]
    one, two = (splits.split_groups(names, labels, seed=s, **SHARES) for s in (0, 1))
    assert one != two
    all_train = splits.split_groups(
        names, labels, val_fraction=0, test_fraction=0, seed=0, site="a"
    )
    assert set(all_train) == {"train"}


def test_too_few_groups():
    with pytest.raises(UserError, match=r"site 'a' has too few patients .* \(1\) to fill 'val'"):
        splits.split_groups(["p"] * 9, np.zeros(9, np.int64), seed=0, **SHARES)


def test_a_given_split_must_not_leak():
    splits.check_given(["p", "p", "", ""], ["train", "train", "test", "train"], site="a")
    with pytest.raises(UserError, match="patient 'p' is in both 'train' and 'test'"):
        splits.check_given(["p", "p"], ["train", "test"], site="a")
    with pytest.raises(UserError, match="has no 'test' image"):
        splits.check_given(["p"], ["train"], site="a")
