"""What training sees of a hospital: three splits of grey images, and nothing about their origin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One split of one site.

    Attributes:
        images: uint8 grey values, (N, R, R) with R the cached side; often a read-only memory map.
        labels: int64, (N,); 1 is the class to be found, 0 the other.
        ids: N names of the images, stable over runs; they never leave the site.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class SiteData:
    """The images of one hospital, split so that no patient is in two splits."""

    name: str
    train: Split
    val: Split
    test: Split

    def split(self, name: str) -> Split:
        """Return the split called ``train``, ``val`` or ``test``."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]
