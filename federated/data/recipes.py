"""How each hospital gets its entry of the cache.

A hospital of files is a data set as imported; or, under a partition or a shift, a part of it seen
through a simulated scanner, derived from the data set's own entry.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from federated.config.common import Common
from federated.config.images import Partition
from federated.data import cache, entry
from federated.data.dealing import partition as partitioning
from federated.data.dealing import splits
from federated.data.formats import images
from federated.data.formats.slices import Grey
from federated.data.sources.labels import CLASSES
from federated.errors import UserError
from federated.processor import cores
from federated.seeding import numpy_generator


@dataclass(frozen=True)
class Origin:
    """Where one hospital's images come from.

    Attributes:
        name: of the hospital.
        dataset: the data set of files; empty for a phantom.
        part: its part of the data set, as ``partition.assign`` calls it; empty: all of it.
        number: from 0, of its phantom or of its scanner.
    """

    name: str
    dataset: str
    part: str
    number: int


@dataclass(frozen=True)
class Recipe:
    """How to get one entry of the cache.

    Attributes:
        folder: of the whole cache.
        key: of the entry.
        build: fills the entry's folder, telling its progress.
        strict: refuse an entry that lacks unusable files.
        base: plan of the entry that this one is derived from.
        drawn: whether we draw the split.
        notes: what the import left out or missed.
        skipped: a sentence for each unusable row.
        classes: what the classes are called, from 0.
        root: folder that the paths of files start from; None for a phantom, which has no files.
    """

    folder: Path
    key: str
    build: Callable[[Path, cache.FileProgress], None]
    strict: bool
    base: "Recipe | None" = None
    drawn: bool = True
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    classes: tuple[str, ...] = CLASSES
    root: Path | None = None

    def publish(self, progress: cache.FileProgress) -> Path:
        """Return the entry, built if it is missing.

        Raises:
            UserError: an image is unusable; or the entry was built without one and this is strict.
        """
        folder = cache.publish(self.folder, self.key, lambda part: self.build(part, progress))
        if self.strict and (skipped := entry.skipped_files(folder)):
            raise UserError(skipped[0])
        return folder


def derived(config: Common, origin: Origin, base: Recipe) -> Recipe:
    """Return the plan for a hospital that is part of a data set, or seen through a scanner."""
    from federated.phantom.scanner import profile_for  # SciPy: slow to import

    data = config.data
    profile = profile_for(origin.number, data.shift, data.split_seed)
    drawing = [data.val_fraction, data.test_fraction, data.split_seed]

    def build(part: Path, progress: cache.FileProgress) -> None:
        whole = base.publish(progress)
        source = entry.read(whole)
        mine = np.arange(len(source.rows))
        if origin.part:
            dealt = _dealt(whole, config.partition, data.split_seed, base.drawn)
            mine = np.flatnonzero(np.array(dealt) == origin.part)
        if not len(mine):
            raise UserError(
                f"no image is left for '{origin.name}', all of whose patients are mostly of "
                "another hospital; correct the manifest"
            )
        rows = source.rows.iloc[mine].reset_index(drop=True).assign(site=origin.name)
        if origin.part and base.drawn:
            rows["split"] = splits.draw(rows, data, origin.name)
        elif origin.part:
            splits.check_given(list(rows["patient"]), list(rows["split"]), site=origin.name)
        pixels = source.pixels[mine]
        if data.shift > 0:
            pixels = _seen_through(pixels, list(rows["path"]), config, origin)
        entry.write(part, entry.CacheEntry(rows, pixels, source.thumbnails[mine], source.skipped))

    return Recipe(
        base.folder,
        cache.key_of(
            *("derived", images.VERSION, base.key, origin.name, origin.part),
            asdict(config.partition) if origin.part else None,
            [*drawing, base.drawn] if origin.part else None,
            asdict(profile) if data.shift > 0 else None,
            data.split_seed,
        ),
        build,
        data.strict,
        base,
        base.drawn,
        base.notes,
        base.skipped,
        base.classes,
        base.root,
    )


@lru_cache(maxsize=8)
def _dealt(whole: Path, partition: Partition, seed: int, drawn: bool) -> tuple[str, ...]:
    """Deal out an entry, which never changes, once for all its hospitals."""
    return tuple(partitioning.assign(entry.read(whole).rows, partition, seed=seed, drawn=drawn))


def _seen_through(pixels: Grey, names: list[str], config: Common, origin: Origin) -> Grey:
    """Return images as the hospital's scanner shows them."""
    from federated.phantom.scanner import apply_profile, profile_for

    seed = config.data.split_seed
    profile = profile_for(origin.number, config.data.shift, seed)

    def one(index: int) -> Grey:
        rng = numpy_generator(seed, origin.dataset, 0, f"scanner {names[index]}")
        return apply_profile(pixels[index], profile, rng)

    with ThreadPoolExecutor(cores()) as pool:
        return np.stack(list(pool.map(one, range(len(pixels)))))
