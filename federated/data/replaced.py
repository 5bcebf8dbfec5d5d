"""A hospital whose scanner was replaced: the same patients, as another machine shows them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache

import numpy as np

from federated.config.common import Common
from federated.data import load_site
from federated.data.formats.slices import Grey
from federated.data.site import SPLITS, SiteData, Split
from federated.processor import cores
from federated.seeding import numpy_generator, seed_for

SITES_KEPT = 16
"""They lie in this process's own memory, where the cache's are mapped and shared by all."""


def replaced_scanner(config: Common, site: str, shift: float) -> SiteData:
    """Return a hospital, all splits, as its new scanner shows it; read-only, made once a process.

    Args:
        config: Says where the hospital's images come from.
        site: Its name.
        shift: How different the new scanner is; 0: not at all.
    """
    # What a method trains with decides no pixel: all methods use the same images.
    source = Common(data=config.data, partition=config.partition, phantom=config.phantom)
    return _replaced(source, site, shift)


@lru_cache(maxsize=SITES_KEPT)
def _replaced(config: Common, site: str, shift: float) -> SiteData:
    return through_new_scanner(load_site(config, site), shift, config.data.split_seed)


def through_new_scanner(data: SiteData, shift: float, seed: int) -> SiteData:
    """Return a site's images through another scanner; profile and noise depend on names alone."""
    if shift == 0:
        return data
    train, val, test = (_shown(data.split(name), data.name, shift, seed) for name in SPLITS)
    return SiteData(data.name, train, val, test)


def _shown(split: Split, site: str, shift: float, seed: int) -> Split:
    from federated.phantom.scanner import apply_profile, profile_for  # SciPy: slow to import

    # A hypercube of the site's own: under the seed of the first scanners it would get its old one.
    profile = profile_for(0, shift, seed_for(seed, site, 0, "new scanner"))

    def one(index: int) -> Grey:
        rng = numpy_generator(seed, site, 0, f"new scanner {split.ids[index]}")
        return apply_profile(split.images[index], profile, rng)

    shown = np.empty_like(split.images, subok=False)
    with ThreadPoolExecutor(cores()) as pool:
        for index, image in enumerate(pool.map(one, range(len(split)))):
            shown[index] = image
    shown.setflags(write=False)
    return replace(split, images=shown)
