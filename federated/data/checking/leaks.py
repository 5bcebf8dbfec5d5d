"""Images that are in two places: two splits, two hospitals, or two classes.

Two images are the same if their files are (SHA-256), and near-duplicates if they correlate above
``data.duplicate-correlation`` at 32x32 pixels. Phantoms are only looked at for the former: their
patients are known, and all chests of one kind are alike.

A leak is ours where we chose the place: between splits that we drew, or between hospitals of a
partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federated.data.checking.survey import Surveyed, manifest_rows
from federated.data.dealing.duplicates import near_pairs, standardise
from federated.lazy import pd


@dataclass(frozen=True)
class Leaks:
    """Pairs of images that are too alike for where they are.

    Attributes:
        pairs: a row per pair: site, split, path and label of both (``site_1``, ``site_2``, ...),
            identical, correlation, opposite (labels), where (``splits``, ``sites`` or, for
            opposite labels in one place, ``nowhere``) and ours.
        straddling: groups that are in two splits of a site, or in two hospitals of a partition,
            although we dealt them: patients among them that no pair shows.
    """

    pairs: pd.DataFrame
    straddling: tuple[str, ...]

    @property
    def ours(self) -> int:
        """Leaks between places that we chose."""
        return int(self.pairs["ours"].sum()) + len(self.straddling)


def find_leaks(sites: Sequence[Surveyed], threshold: float) -> Leaks:
    """Return all leaks between and within sites, opposite labels first, the most alike first."""
    rows = manifest_rows(tuple(sites))
    thumbnails = np.concatenate([one.entry.thumbnails for one in sites])
    real = np.repeat(
        [bool(one.origin.dataset) for one in sites], [len(one.entry.rows) for one in sites]
    )
    index = np.flatnonzero(real)
    batches = [_identical(list(rows["sha256"]))]
    batches += [_apart(index[pairs], rows) for pairs in near_pairs(thumbnails[real], threshold)]
    pairs = np.unique(_apart(np.concatenate(batches, axis=1), rows), axis=1)
    return Leaks(_table(pairs, rows, thumbnails, sites), _straddling(sites))


def _identical(hashes: list[str]) -> npt.NDArray[np.int64]:
    """Return all pairs of equal hashes, (2, P)."""
    places: dict[str, list[int]] = {}
    for position, name in enumerate(hashes):
        places.setdefault(name, []).append(position)
    found = [
        (first, second)
        for same in places.values()
        for number, first in enumerate(same)
        for second in same[number + 1 :]
    ]
    return np.array(found, np.int64).reshape(-1, 2).T


def _apart(pairs: npt.NDArray[np.int64], rows: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Keep the pairs that differ in site, split or label."""
    keep = np.zeros(pairs.shape[1], bool)
    for column in ("site", "split", "label"):
        values = rows[column].to_numpy()
        keep |= values[pairs[0]] != values[pairs[1]]
    return pairs[:, keep]


def _table(
    pairs: npt.NDArray[np.int64],
    rows: pd.DataFrame,
    thumbnails: npt.NDArray[np.uint8],
    sites: Sequence[Surveyed],
) -> pd.DataFrame:
    columns = ["site", "split", "path", "label", "sha256"]
    both = [rows[columns].iloc[side].reset_index(drop=True) for side in pairs]
    table = both[0].add_suffix("_1").join(both[1].add_suffix("_2"))
    unit = [standardise(thumbnails)[side] for side in pairs]
    drawn = {one.name: one.summary.drawn for one in sites}
    # What a hospital was dealt from; one of its own where it was not dealt.
    pool = {one.name: one.origin.dataset if one.origin.part else one.name for one in sites}
    first, second = table["site_1"], table["site_2"]
    other_site, other_split = first != second, table["split_1"] != table["split_2"]
    dealt = other_site & (first.map(pool) == second.map(pool))
    identical = table["sha256_1"] == table["sha256_2"]
    found: pd.DataFrame = table.assign(
        identical=identical,
        correlation=(unit[0] * unit[1]).sum(axis=1),
        opposite=table["label_1"] != table["label_2"],
        where=np.where(other_site, "sites", np.where(other_split, "splits", "nowhere")),
        ours=dealt | (~other_site & other_split & first.map(drawn).astype(bool)),
    )
    order = ["opposite", "correlation"]
    worst: pd.DataFrame = found.sort_values(order, ascending=[False, False], ignore_index=True)
    return worst


def _straddling(sites: Sequence[Surveyed]) -> tuple[str, ...]:
    found: list[str] = []
    homes: dict[tuple[str, str], str] = {}
    for one in sites:
        if one.summary.drawn:
            splits = one.entry.rows.groupby("group")["split"].nunique()
            found += [
                f"{one.name}: {group} is in {n} splits" for group, n in splits[splits > 1].items()
            ]
        if one.origin.part:
            for group in one.entry.rows["group"].unique():
                home = homes.setdefault((one.origin.dataset, group), one.name)
                if home != one.name:
                    found.append(f"{group} is in {home} and in {one.name}")
    return tuple(found)
