"""What the owners of a run's images call the classes."""

from functools import lru_cache

from federated.config.common import Common
from federated.data import known_origins
from federated.data.origins import recipe_of
from federated.data.sources.labels import UNNAMED
from federated.errors import UserError

Words = tuple[str, ...]


def class_words(config: Common, site: str = "") -> Words:
    """Return the names of the classes from 0, as the folders or the manifest have them.

    Where the images are no longer here, and for all hospitals together where they use other
    words, these are ``UNNAMED``: which class is to be found, and which not.

    Args:
        config: Says where the images are.
        site: A hospital; empty: all of them.
    """
    # What else a method sets names no class.
    source = Common(data=config.data, partition=config.partition, phantom=config.phantom)
    words = _words(source)
    if site:
        return words.get(site, UNNAMED)
    every = set(words.values())
    return every.pop() if len(every) == 1 else UNNAMED


@lru_cache(maxsize=8)
def _words(config: Common) -> dict[str, Words]:
    try:
        known = known_origins(config)
        return {name: recipe_of(config, origin).classes for name, origin in known.items()}
    except (UserError, OSError):
        return {}
