"""What every hospital of a config holds, read whole for whoever checks the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from federated import data
from federated.config.common import Common
from federated.data import entry
from federated.data.entry import CacheEntry
from federated.data.origins import origins
from federated.data.recipes import Origin
from federated.lazy import pd

SAMPLE = 512  # images of a site that its histogram is of
BINS = 32


@dataclass(frozen=True)
class Surveyed:
    """One hospital.

    Attributes:
        hospital: where its images come from.
        summary: what it holds, as counts.
        entry: its images and all that is known of them.
    """

    origin: Origin
    summary: data.SiteSummary
    entry: CacheEntry

    @property
    def name(self) -> str:
        """The hospital's name."""
        return self.origin.name

    def histogram(self) -> npt.NDArray[np.float64]:
        """Return the share of pixels per bin of 256 / :data:`BINS` greys, (BINS,).

        Of at most :data:`SAMPLE` images, evenly taken, as the network sees them.
        """
        step = -(-len(self.entry.pixels) // SAMPLE)
        pixels = self.entry.pixels[::step].reshape(-1)
        counts = np.bincount(pixels, minlength=256).reshape(BINS, -1).sum(axis=1)
        shares: npt.NDArray[np.float64] = counts / counts.sum()
        return shares


def survey(config: Common, report: data.SiteProgress | None = None) -> tuple[Surveyed, ...]:
    """Import every hospital, unusable files left out and listed whatever ``data.strict`` says.

    Raises:
        UserError: a data set cannot be imported at all.
    """
    lenient = replace(config, data=replace(config.data, strict=False))
    known = origins(lenient)
    return tuple(
        Surveyed(known[summary.site], summary, entry.read(summary.folder))
        for summary in data.prepare(lenient, report)
    )


def manifest_rows(sites: tuple[Surveyed, ...]) -> pd.DataFrame:
    """Return all hospitals' manifests as one."""
    return pd.concat([one.entry.rows for one in sites], ignore_index=True)


def skipped(sites: tuple[Surveyed, ...]) -> Iterator[str]:
    """Yield a sentence for each unusable file or row, each once."""
    yield from dict.fromkeys(text for one in sites for text in one.summary.skipped)
