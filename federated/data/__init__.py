"""Hospitals: from settings to splits of grey images, each decoded once.

``site_names`` says which hospitals a config has, ``prepare`` fills the cache, ``load_site`` reads
one hospital from it. PyTorch is not needed.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from federated.config.common import Common
from federated.data import entry
from federated.data.origins import origins, recipe_of
from federated.data.recipes import Origin, Recipe
from federated.data.site import SPLITS, SiteData, Split
from federated.data.sources import table
from federated.errors import UserError, did_you_mean, shown
from federated.processor import cores

__all__ = [
    "SPLITS",
    "SiteData",
    "SiteProgress",
    "SiteSummary",
    "Split",
    "load_site",
    "prepare",
    "site_names",
]

SiteProgress = Callable[[str, int, int], None]  # (site, images done, images in all)


@dataclass(frozen=True)
class SiteSummary:
    """What a hospital holds, as counts; for the screen of whoever holds the data.

    Attributes:
        site: name of the hospital.
        counts: split -> images of each class, from 0.
        groups: patients, or groups of near-duplicates where patients are unknown.
        notes: what the import left out by rule, missed, or finds suspicious.
        skipped: a sentence for each unusable file or row that was left out.
        drawn: whether we drew the split.
        folder: the cache entry.
        classes: what the classes are called, from 0, such as ("non-COVID", "COVID").
        root: folder that the paths of its files start from; None for a phantom.
    """

    site: str
    counts: dict[str, tuple[int, ...]]
    groups: int
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    drawn: bool
    folder: Path
    classes: tuple[str, ...]
    root: Path | None


def site_names(config: Common) -> tuple[str, ...]:
    """Return the names of the hospitals that take part, sorted.

    Where ``sites`` names them no data is looked at: a server of other machines has none.

    Raises:
        UserError: there is none, or two have the same name.
    """
    return tuple(sorted(config.sites) if config.sites else known_origins(config))


def known_origins(config: Common) -> Mapping[str, Origin]:
    """Return the hospitals; those that no file decides on are listed once for all messages."""
    return origins(config) if table.is_any_given(config.data) else _synthetic(config)


_synthetic = lru_cache(maxsize=4)(origins)


def load_site(config: Common, site: str, *, alone: bool = False) -> SiteData:
    """Return one hospital from the cache, which is filled first where it has to be.

    Args:
        config: says where its images are.
        site: its name.
        alone: the data is this hospital's own, so that one data set is meant whatever the name
            of its folder.

    Raises:
        UserError: no such hospital, or its images are unusable.
    """
    folder = _recipe(config, site, alone).publish(lambda done, total: None)
    data, *_ = entry.load_training(folder, site)
    return data


def load_entry(config: Common, site: str, *, alone: bool = False) -> tuple[entry.CacheEntry, int]:
    """Return all that the cache has of one hospital, and how many files were left out.

    Arguments and errors are those of ``load_site``.
    """
    recipe = _recipe(config, site, alone)
    found = entry.read(recipe.publish(lambda done, total: None))
    return found, len(recipe.skipped) + len(found.skipped)


def _recipe(config: Common, site: str, alone: bool) -> Recipe:
    known = known_origins(config)
    others = [origin for origin in known.values() if origin.dataset]
    if alone and site not in known and len(others) == 1:
        known = {site: replace(others[0], name=site)}
    if site not in known:
        raise UserError(
            f"there is no site '{site}' among {len(known)}{did_you_mean(site, known)}; the config "
            "sets which there are"
        )
    return recipe_of(config, known[site])


def prepare(config: Common, report: SiteProgress | None = None) -> tuple[SiteSummary, ...]:
    """Fill the cache for every hospital, on all cores, and return what each holds.

    Args:
        config: says which hospitals there are.
        report: called with (site, images done, images in all), never by two threads at once.

    Raises:
        UserError: strict, at the first unusable image; nothing of that hospital is kept.
    """
    lock = threading.Lock()
    known = origins(config)
    names = config.sites or tuple(known)
    if unknown := [name for name in names if name not in known]:
        raise UserError(
            f"sites = {shown(unknown[0])}: the data has no such hospital"
            f"{did_you_mean(unknown[0], known)}; it has {', '.join(known)}"
        )
    plans = {name: recipe_of(config, known[name]) for name in sorted(names)}

    def told(site: str, done: int, total: int) -> None:
        if report:
            with lock:
                report(site, done, total)

    def one(site: str) -> SiteSummary:
        made = plans[site]
        folder = made.publish(lambda done, total: told(site, done, total))
        summary = _summary(site, made, folder)
        total = sum(map(sum, summary.counts.values()))
        told(site, total, total)
        return summary

    # A data set that is dealt out is decoded once, before its hospitals ask for it.
    bases = {made.base.key: (site, made.base) for site, made in plans.items() if made.base}
    for site, base in bases.values():
        base.publish(lambda done, total, site=site: told(site, done, total))  # type: ignore[misc]
    # Threads, because Pillow and NumPy release the interpreter's lock where the time is spent.
    with ThreadPoolExecutor(cores()) as pool:
        return tuple(pool.map(one, plans))


def _summary(site: str, made: Recipe, folder: Path) -> SiteSummary:
    data, groups, warnings = entry.load_training(folder, site)
    width = len(made.classes)
    counts = {
        name: tuple(np.bincount(data.split(name).labels, minlength=width).tolist())
        for name in SPLITS
    }
    skipped = (*made.skipped, *entry.skipped_files(folder))
    return SiteSummary(
        site,
        counts,
        groups,
        notes=(*made.notes, *warnings),
        skipped=skipped,
        drawn=made.drawn,
        folder=folder,
        classes=made.classes,
        root=made.root,
    )
