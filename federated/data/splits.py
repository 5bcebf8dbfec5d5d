"""Which split each group of images goes to: nothing may leak."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from federated.data.site import SPLITS
from federated.errors import UserError
from federated.settings import Data


def draw(full: pd.DataFrame, data: Data, site: str) -> list[str]:
    """Return the split of each row of a manifest by its group and label, per the settings."""
    return split_groups(
        list(full["group"]),
        full["label"].to_numpy(dtype=np.int64),
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        seed=data.split_seed,
        site=site,
    )


def split_groups(
    groups: Sequence[str],
    labels: npt.NDArray[np.int64],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    site: str,
) -> list[str]:
    """Return the split of each image: no group in two splits, classes shared out evenly.

    Groups are taken in an order drawn from ``seed``, the largest first, and each goes where it
    lowers most the squared distance to the target counts per class, relative to the target. Before
    that every split gets the smallest group of each class, as far as they reach (train first, then
    test), so that small sites can be evaluated. The order of the images plays no part.

    Raises:
        UserError: too few groups to fill all splits.
    """
    names = sorted(set(groups))
    position = {name: index for index, name in enumerate(names)}
    members = np.array([position[group] for group in groups], dtype=np.int64)
    counts = np.zeros((len(names), 2), dtype=np.float64)  # (groups, classes)
    np.add.at(counts, (members, labels), 1)
    shares = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    chosen = _assign(counts, shares, order)
    for split, share in enumerate(shares):
        if share > 0 and not (chosen == split).any():
            raise UserError(
                f"site '{site}' has too few patients or groups of near-duplicates ({len(names)}) "
                f"to fill '{SPLITS[split]}'; add images, or set data.val-fraction or "
                "data.test-fraction to 0"
            )
    return [SPLITS[split] for split in chosen[members].tolist()]


def _assign(
    counts: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
    order: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the split of each group as an index into ``SPLITS``."""
    target = np.outer(shares, counts.sum(axis=0))  # (splits, classes)
    have = np.zeros_like(target)
    chosen = np.full(len(counts), -1, dtype=np.int64)
    for split, label in _first_claims(counts, shares):
        free = [group for group in order if chosen[group] < 0 and counts[group, label] > 0]
        if have[split, label] == 0 and free:
            chosen[free[-1]] = split  # the smallest: it upsets the shares least
            have[split] += counts[free[-1]]
    weight = np.divide(1.0, target, out=np.zeros_like(target), where=target > 0)
    for group in order:
        if chosen[group] < 0:
            count = counts[group]
            # (have + count - target)^2 - (have - target)^2, over the target, summed over classes
            cost = (count * (2 * (have - target) + count) * weight).sum(axis=1)
            cost[shares <= 0] = np.inf
            split = int(np.argmin(cost))
            chosen[group] = split
            have[split] += count
    return chosen


def _first_claims(
    counts: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return (split, class) in the order in which each claims its first group: rare class first."""
    classes = np.argsort((counts > 0).sum(axis=0), kind="stable").tolist()
    splits = [split for split in (0, 2, 1) if shares[split] > 0]
    return [(split, label) for split in splits for label in classes]


def check_given(patients: Sequence[str], splits: Sequence[str], *, site: str) -> None:
    """Refuse a given split in which a patient is in two splits, or which trains on nothing.

    Args:
        patients: patient of each image, empty where unknown.
        splits: split of each image.
        site: for the message.

    Raises:
        UserError: naming the first such patient.
    """
    first: dict[str, str] = {}
    for patient, split in zip(patients, splits, strict=True):
        if patient and first.setdefault(patient, split) != split:
            raise UserError(
                f"site '{site}': patient '{patient}' is in both '{first[patient]}' and '{split}'; "
                "give all images of a patient one split, or leave the split column out to have it "
                "drawn"
            )
    for needed in ("train", "test"):
        if needed not in splits:
            raise UserError(
                f"site '{site}': the split column has no '{needed}' image; mark some, or leave the "
                "column out to have the split drawn"
            )
