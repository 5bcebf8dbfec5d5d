"""One data set dealt out to many hospitals; a patient, or a group of near-duplicates, to one.

``iid`` gives every hospital the same share of each class. ``dirichlet`` draws for each class the
shares of the hospitals from Dirichlet(alpha) (Hsu et al. 2019, arXiv 1909.06335, the other way
round: per class, as in Li et al. 2022, arXiv 2102.02079), ``quantity`` does so once for all
classes, so that sizes differ and balances do not. ``patient`` gives every hospital equally many
patients, as they come. ``column`` makes a hospital of each value of a column; a group with several
goes to the hospital with most of its images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from federated.config.common import Common
from federated.config.images import Partition
from federated.data.dealing.shares import Claim, Counts, counts_of, deal, largest_first
from federated.data.names import is_site
from federated.data.site import SPLITS
from federated.data.sources.listing import Listing
from federated.errors import UserError
from federated.lazy import pd
from federated.seeding import numpy_generator, seed_for


def parts(config: Common, dataset: str, listing: Listing) -> tuple[str, ...]:
    """Return the names of the hospitals that a data set is dealt to.

    Raises:
        UserError: the partition is by a column that the data set has not, or an image no value.
    """
    partition = config.partition
    if partition.kind != "column":
        width = len(str(partition.sites))
        return tuple(f"{dataset}-{n:0{width}}" for n in range(1, partition.sites + 1))
    values = listing.rows["hospital"]
    if not config.data.manifest or not partition.column or not values.any():
        raise UserError(
            f"partition.kind = column cannot deal out '{dataset}': it needs data.manifest and, as "
            "partition.column, one of the manifest's columns; use another kind for other sources"
        )
    if (values == "").any():
        path = listing.rows["path"].iloc[(values == "").to_numpy().argmax()]
        raise UserError(
            f"{listing.named_by}: '{path}' has no {partition.column}; fill the column or remove "
            "the row"
        )
    for value in sorted(set(values)):
        if not is_site(value):
            raise UserError(
                f"{listing.named_by}: {partition.column} has '{value}', which cannot name a "
                "hospital; use letters, digits, spaces, '.', '_' and '-', a letter or digit first"
            )
    return tuple(sorted(set(values)))


def assign(rows: pd.DataFrame, partition: Partition, *, seed: int, drawn: bool) -> list[str]:
    """Return for each image the number of its hospital, from 1, or the value of the column.

    Args:
        rows: full manifest of the data set with patient and hospital.
        partition: the settings.
        seed: of the partition.
        drawn: whether splits are drawn after this; else each hospital needs a training and a test
            image out of those the data set gives.

    Raises:
        UserError: patients are needed and unknown, or there are too few groups.
    """
    labels = rows["label"].to_numpy(dtype=np.int64)
    split = rows["split"].map(SPLITS.index).to_numpy(dtype=np.int64)
    # Where splits are given, what is shared out evenly is each class of each split.
    strata = labels * 3 + (0 if drawn else split)
    counts, members = counts_of(list(rows["group"]), strata, 3 * max(2, int(labels.max()) + 1))
    if partition.kind == "column":
        return _by_column(list(rows["hospital"]), members)
    if partition.kind == "patient":
        if unknown := int((rows["patient"] == "").sum()):
            first = rows["path"].iloc[(rows["patient"] == "").to_numpy().argmax()]
            raise UserError(
                f"partition.kind = patient needs patients, which {unknown} of {len(rows)} images "
                f"lack, such as {first}; use iid, which "
                "keeps near-duplicates together"
            )
        chosen = _shuffled(len(counts), partition.sites, seed)
    else:
        target = _target(counts, partition, seed)
        claims = _claims(target, drawn)
        chosen = deal(counts, target, largest_first(counts, _seed(seed, "order")), claims)
    _check(counts, chosen, partition.sites, drawn)
    return [str(number + 1) for number in chosen[members].tolist()]


def _seed(seed: int, purpose: str) -> int:
    return seed_for(seed, "partition", 0, purpose)


def _shuffled(groups: int, sites: int, seed: int) -> npt.NDArray[np.int64]:
    places = numpy_generator(seed, "partition", 0, "patients").permutation(groups)
    return places.astype(np.int64) % sites


def _target(counts: Counts, partition: Partition, seed: int) -> Counts:
    """Return how many images of each stratum each hospital should get, (sites, strata)."""
    total = counts.sum(axis=0)
    rng = numpy_generator(seed, "partition", 0, "shares")
    even = np.full(partition.sites, 1 / partition.sites)
    alpha = np.full(partition.sites, partition.alpha)
    if partition.kind == "iid":
        return np.outer(even, total)
    if partition.kind == "quantity":
        return np.outer(rng.dirichlet(alpha), total)
    shares = rng.dirichlet(alpha, len(total) // 3)  # (classes, sites)
    target: Counts = np.repeat(shares, 3, axis=0).T * total
    return target


def _claims(target: Counts, drawn: bool) -> list[Claim]:
    """Return what every hospital needs however small its share: see :func:`_check`."""
    claims: list[Claim] = []
    every = range(target.shape[1])
    for site in range(len(target)):
        if drawn:
            label = int(target[site].reshape(-1, 3).sum(axis=1).argmax())
            claims += [(site, range(3 * label, 3 * label + 3), 3), (site, every, 3)]
        else:
            claims += [(site, every[split::3], 1) for split in (0, 2)]
    return claims


def _check(counts: Counts, chosen: npt.NDArray[np.int64], sites: int, drawn: bool) -> None:
    """Refuse hospitals with under three groups, or without a given training and test image."""
    for site in range(sites):
        held = counts[chosen == site]
        given = held.sum(axis=0).reshape(-1, 3).sum(axis=0)
        if len(held) < 3 if drawn else not (given[0] and given[2]):
            raise UserError(
                f"{len(counts)} patients or groups of near-duplicates cannot fill the splits of "
                f"{sites} hospitals; lower partition.sites or raise partition.alpha"
            )


def _by_column(values: list[str], members: npt.NDArray[np.int64]) -> list[str]:
    """Return each image's value, groups with several going where most of their images are."""
    table = pd.DataFrame({"group": members, "value": values})
    most = table.groupby(["group", "value"]).size().reset_index(name="images")
    most = most.sort_values(["group", "images", "value"], ascending=[True, False, True])
    home = most.drop_duplicates("group").set_index("group")["value"]
    return table["group"].map(home).tolist()
