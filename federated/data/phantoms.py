"""Phantom hospitals in the cache."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from federated.config.common import Common
from federated.data import cache, entry
from federated.data.dealing import splits
from federated.data.formats import images
from federated.lazy import pd


def key(config: Common, name: str) -> str:
    """Return the key of a phantom's entry."""
    return cache.key_of(
        "phantom", name, _settings(config), _code(), images.cached_side(config.data)
    )


def _settings(config: Common) -> dict[str, float]:
    recipe = {name: value for name, value in asdict(config.phantom).items() if name != "sites"}
    data = config.data
    drawing = (data.val_fraction, data.test_fraction, data.split_seed)
    return recipe | dict(zip(("val", "test", "split_seed"), drawing, strict=True))


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a hash of the phantom's code: a version number that nobody can forget to raise.

    Of the whole package and the seeding, since a phantom that is rebuilt in vain costs seconds.
    """
    federated = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in [federated / "seeding.py", *sorted((federated / "phantom").rglob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(part: Path, config: Common, name: str, number: int) -> None:
    """Fill the folder ``part`` with the phantom hospital of a number, from 0."""
    # Imported here: it is slow to import and needed only to build.
    from federated.phantom import phantom_site

    side = images.cached_side(config.data)
    made = phantom_site(config.phantom, number, side)
    full = pd.DataFrame(
        {
            "path": made.ids,
            "site": name,
            "group": made.patients,
            "label": made.labels,
            "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in made.images],
            "width": side,
            "height": side,
            "patient": made.patients,
            "hospital": "",
            "format": "phantom",
            "mode": "L",
            "colour": False,
            "odd": "",
        }
    )
    full["split"] = splits.draw(full, config.data, name)
    entry.write(part, entry.CacheEntry(full, made.images, images.thumbnails(made.images)))
