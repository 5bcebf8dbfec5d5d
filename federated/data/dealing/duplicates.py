"""Near-duplicate images: which ones must stay in one split although no patient id says so.

Two slices of one patient a millimetre apart, or one slice exported twice, correlate far above any
two patients. At 32x32 pixels the correlation ignores noise and annotation but sees the anatomy.
"""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

# Rows of a block: 2048 x 2048 float32 correlations are 16 MiB, whatever the number of images.
BLOCK = 2048
# Pairs held before they are merged into components; bounds memory when everything is alike.
PENDING = 4_000_000

Pairs = npt.NDArray[np.int64]  # (2, P): indices of the two images of each pair


def standardise(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return (N, 32, 32) greys as (N, 1024) rows of zero mean and unit norm.

    The dot product of two rows is then their Pearson correlation. A constant image becomes a row
    of zeros: it correlates with nothing.
    """
    rows = thumbnails.reshape(len(thumbnails), prod(thumbnails.shape[1:])).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    constant = norm < 1e-3
    rows /= np.where(constant, np.float32(1), norm)
    rows[constant[:, 0]] = 0  # what is left in it is rounding
    return rows


def near_pairs(
    thumbnails: npt.NDArray[np.uint8], threshold: float, block: int = BLOCK
) -> Iterator[Pairs]:
    """Yield all pairs i < j that correlate above ``threshold``, a block at a time.

    N^2/2 dot products of 1024 numbers: 50,000 images are 1.3e12 multiplications, and memory is
    N x 4 KiB plus one block. Nothing correlates above 1.
    """
    if threshold >= 1:
        return
    rows = standardise(thumbnails)
    for top in range(0, len(rows), block):
        for left in range(top, len(rows), block):
            correlation = rows[top : top + block] @ rows[left : left + block].T
            first, second = np.nonzero(correlation > threshold)
            pairs = np.stack([first + top, second + left]).astype(np.int64)
            yield pairs[:, pairs[0] < pairs[1]]


def group_images(
    ids: Sequence[str],
    patients: Sequence[str],
    hashes: Sequence[str],
    thumbnails: npt.NDArray[np.uint8],
    *,
    threshold: float,
    files: Sequence[str] = (),
) -> list[str]:
    """Return the group of each image: its patient and its near-duplicates.

    Two images are in one group if they are of one patient or file, if their files are identical, or
    if they correlate above ``threshold``, whatever patients they are said to be of: in the real
    sets the pairs across two patient ids that were looked at are one person under two ids
    (docs/DATA.md).
    Transitively closed. A group is named after its first patient, or after its first image.

    Args:
        ids: names of the images, (N,), sorted.
        patients: patient of each, empty where unknown.
        hashes: SHA-256 of each file.
        thumbnails: uint8, (N, 32, 32).
        threshold: correlation above which two images are near-duplicates.
        files: file of each, where one file has several images.
    """

    def pairs() -> Iterator[Pairs]:
        yield equal_pairs(patients)
        yield equal_pairs(hashes)
        yield equal_pairs(files)
        yield from near_pairs(thumbnails, threshold)

    roots = components(len(ids), pairs())
    names: dict[int, str] = {}
    for root, patient in zip(roots.tolist(), patients, strict=True):
        if patient:
            names[root] = min(patient, names.get(root, patient))
    return [names.get(root, f"like {ids[root]}") for root in roots.tolist()]


def equal_pairs(keys: Sequence[str]) -> Pairs:
    """Return pairs that chain together all positions with the same non-empty key."""
    latest: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for index, key in enumerate(keys):
        if key and key in latest:
            pairs.append((latest[key], index))
        latest[key] = index
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def components(count: int, batches: Iterator[Pairs]) -> npt.NDArray[np.int64]:
    """Return for each of ``count`` images the smallest index in its connected component."""
    roots = np.arange(count, dtype=np.int64)
    pending: list[Pairs] = []
    held = 0
    for pairs in batches:
        pending.append(pairs)
        held += pairs.shape[1]
        if held > PENDING:
            roots, pending, held = _merge(roots, pending), [], 0
    return _merge(roots, pending)


def _merge(roots: npt.NDArray[np.int64], pending: list[Pairs]) -> npt.NDArray[np.int64]:
    # Imported here: only building a cache needs SciPy, and every worker imports this package.
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    count = len(roots)
    tree = np.stack([np.arange(count), roots])  # what earlier batches joined
    rows, columns = np.concatenate([tree, *pending], axis=1)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(count, count))
    _, component = connected_components(graph.tocsr(), directed=False)
    smallest = np.full(count, count, dtype=np.int64)
    np.minimum.at(smallest, component, np.arange(count))
    merged: npt.NDArray[np.int64] = smallest[component]
    return merged
