"""Hospitals: from settings to splits of grey images, each decoded once.

``site_names`` says which hospitals a config has, ``prepare`` fills the cache, ``load_site`` reads
one hospital from it. PyTorch is not needed.
"""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from federated.data import cache, images, sources, splits
from federated.data.site import SPLITS, SiteData, Split
from federated.errors import UserError, did_you_mean
from federated.settings import Config

__all__ = [
    "SPLITS",
    "Report",
    "SiteData",
    "SiteSummary",
    "Split",
    "load_site",
    "prepare",
    "site_names",
]

PHANTOM = "phantom-"
Report = Callable[[str, int, int], None]  # (site, images done, images in all)


@dataclass(frozen=True)
class SiteSummary:
    """What a hospital holds, as counts; for the screen of whoever holds the data.

    Attributes:
        site: name of the hospital.
        counts: split -> (images that are not COVID, images that are).
        groups: patients, or groups of near-duplicates where patients are unknown.
        notes: what the import left out or missed.
        folder: the cache entry.
    """

    site: str
    counts: dict[str, tuple[int, int]]
    groups: int
    notes: tuple[str, ...]
    folder: Path


def site_names(config: Config) -> tuple[str, ...]:
    """Return the names of the config's hospitals, sorted.

    Raises:
        UserError: there is none, or two have the same name.
    """
    data, phantoms = config.data, config.phantom.sites
    names = [name for name, source in sources.SOURCES.items() if getattr(data, source.setting)]
    width = len(str(phantoms))  # padded so that sorting is counting
    names += [f"{PHANTOM}{number:0{width}}" for number in range(1, phantoms + 1)]
    if data.manifest:
        own = sources.user_sites(sources.folder(data.manifest))
        if taken := sorted(set(own) & set(names)):
            raise UserError(
                f"{data.manifest}: has a site '{taken[0]}', a name that is taken by another "
                "source; rename it in the manifest"
            )
        names += own
    if not names:
        raise UserError(
            "there is no hospital; set data.covid-ct, data.sars-cov-2 or data.manifest, or "
            "phantom.sites above 0"
        )
    return tuple(sorted(names))


def load_site(config: Config, site: str) -> SiteData:
    """Return one hospital from the cache, which is filled first where it has to be.

    Raises:
        UserError: no such hospital, or its images are unusable.
    """
    known = site_names(config)
    if site not in known:
        raise UserError(
            f"there is no site '{site}' among {len(known)}{did_you_mean(site, known)}; the config "
            "sets which there are"
        )
    entry = _plan(config, site).publish(lambda done, total: None)
    return cache.read_site(entry, site)[0]


def prepare(config: Config, report: Report | None = None) -> tuple[SiteSummary, ...]:
    """Fill the cache for every hospital, on all cores, and return what each holds.

    Args:
        config: says which hospitals there are.
        report: called with (site, images done, images in all), never by two threads at once.

    Raises:
        UserError: at the first unusable image; nothing of that hospital is kept.
    """
    lock = threading.Lock()

    def one(site: str) -> SiteSummary:
        def told(done: int, total: int) -> None:
            if report:
                with lock:
                    report(site, done, total)

        plan = _plan(config, site)
        summary = _summary(site, plan.publish(told), plan.notes)
        total = sum(map(sum, summary.counts.values()))
        told(total, total)
        return summary

    # Threads, because Pillow and NumPy release the interpreter's lock where the time is spent.
    with ThreadPoolExecutor(images.cores()) as pool:
        return tuple(pool.map(one, site_names(config)))


def _summary(site: str, entry: Path, notes: tuple[str, ...]) -> SiteSummary:
    data, rows = cache.read_site(entry, site)
    counts = {}
    for name in SPLITS:
        positive = int(data.split(name).labels.sum())
        counts[name] = (len(data.split(name)) - positive, positive)
    return SiteSummary(site, counts, rows["group"].nunique(), notes, entry)


@dataclass(frozen=True)
class _Plan:
    """How to get one hospital's cache entry.

    Attributes:
        folder: of the whole cache.
        key: of the entry.
        build: fills the entry's folder, telling its progress.
        notes: what the import left out or missed.
    """

    folder: Path
    key: str
    build: Callable[[Path, cache.Progress], None]
    notes: tuple[str, ...] = ()

    def publish(self, progress: cache.Progress) -> Path:
        """Return the entry, built if it is missing."""
        return cache.publish(self.folder, self.key, lambda part: self.build(part, progress))


def _plan(config: Config, site: str) -> _Plan:
    """Return the plan for a site of :func:`site_names`; opens no image."""
    side, store = images.cached_side(config.data), cache.cache_folder(config.data.cache)
    listing = sources.find(config.data, site)
    if listing is not None:
        return _Plan(
            store,
            cache.key_of_files(listing, config.data, site, side),
            lambda part, progress: cache.build_files(
                part, listing, config.data, site=site, progress=progress
            ),
            listing.notes,
        )
    return _Plan(
        store,
        cache.key_of("phantom", site, _phantom_recipe(config), _phantom_code(), side),
        lambda part, progress: _build_phantom(part, config, site),
    )


def _phantom_recipe(config: Config) -> dict[str, float]:
    recipe = {name: value for name, value in asdict(config.phantom).items() if name != "sites"}
    data = config.data
    drawing = (data.val_fraction, data.test_fraction, data.split_seed)
    return recipe | dict(zip(("val", "test", "split_seed"), drawing, strict=True))


@lru_cache(maxsize=1)
def _phantom_code() -> str:
    """Return a hash of the phantom's code: a version number that nobody can forget to raise.

    Of the whole package and the seeding, since a phantom that is rebuilt in vain costs seconds.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in [here.parent / "seeding.py", *sorted(here.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _build_phantom(part: Path, config: Config, site: str) -> None:
    # Imported here: it is slow to import and needed only to build.
    from federated.data.phantom import phantom_site

    side = images.cached_side(config.data)
    made = phantom_site(config.phantom, int(site.removeprefix(PHANTOM)) - 1, side)
    full = pd.DataFrame(
        {
            "path": made.ids,
            "site": site,
            "group": made.patients,
            "label": made.labels,
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in made.images],
            "width": side,
            "height": side,
        }
    )
    full["split"] = splits.draw(full, config.data, site)
    cache.write_site(part, full, made.images)
