"""A hospital whose training images change over the weeks: they come in, or are labelled wrongly."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from federated.data.site import SiteData, Split
from federated.seeding import numpy_generator


def first_images(in_all: int, count: int, site: str, seed: int) -> npt.NDArray[np.int64]:
    """Return the positions of the first ``count`` of a site's images to come in, ascending.

    They come in at random, the same for every method; those of a smaller count are among those of
    a larger one.
    """
    arrival = numpy_generator(seed, site, 0, "arrival of images").permutation(in_all)
    return np.sort(arrival[:count])


def with_training_images(data: SiteData, positions: npt.NDArray[np.int64]) -> SiteData:
    """Return a site with the training images at ``positions`` (n,), in that order, and no other."""
    train = data.train
    ids = tuple(train.ids[position] for position in positions)
    return replace(data, train=Split(train.images[positions], train.labels[positions], ids))


def with_flipped_labels(data: SiteData, classes: int = 2) -> SiteData:
    """Return a site each of whose training images has the label of another class, the next one."""
    train = data.train
    return replace(data, train=replace(train, labels=(train.labels + 1) % classes))
