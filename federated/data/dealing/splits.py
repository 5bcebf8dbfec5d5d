"""Which split each group of images goes to: nothing may leak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from federated.config.images import Data
from federated.data.dealing.shares import Claim, Counts, counts_of, deal, largest_first
from federated.data.site import SPLITS
from federated.errors import UserError
from federated.lazy import pd


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
    counts, members = counts_of(groups, labels, max(2, int(labels.max()) + 1))
    shares = np.array([1 - val_fraction - test_fraction, val_fraction, test_fraction])
    target = np.outer(shares, counts.sum(axis=0))  # (splits, classes)
    chosen = deal(counts, target, largest_first(counts, seed), _first_claims(counts, shares))
    for split, share in enumerate(shares):
        if share > 0 and not (chosen == split).any():
            raise UserError(
                f"site '{site}' has too few patients or groups of near-duplicates ({len(counts)}) "
                f"to fill '{SPLITS[split]}'; add images, set data.val-fraction or "
                "data.test-fraction to 0, or raise data.duplicate-correlation"
            )
    return [SPLITS[split] for split in chosen[members].tolist()]


def _first_claims(counts: Counts, shares: Counts) -> list[Claim]:
    """Return that every split claims a group of each class: train and the rare class first."""
    classes = np.argsort((counts > 0).sum(axis=0), kind="stable").tolist()
    splits = [split for split in (0, 2, 1) if shares[split] > 0]
    return [(split, (label,), 1) for split in splits for label in classes]


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
