"""Which images of a hospital belong together: of one patient, or near-duplicates of each other."""

from collections.abc import Iterable, Mapping

from federated.config.common import Common
from federated.data import entry
from federated.data.origins import origins, recipe_of
from federated.errors import UserError


def groups_by_site(config: Common, sites: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    """Return site -> image -> its group, of those sites that the cache still has as they were.

    Nothing is built for it: a hospital whose images have gone or changed is left out.
    """
    try:
        known = origins(config)
        entries = {
            site: recipe.folder / recipe.key
            for site in sites
            if site in known and (recipe := recipe_of(config, known[site]))
        }
        rows = {
            site: entry.read(folder).rows for site, folder in entries.items() if folder.is_dir()
        }
    except UserError:
        return {}
    return {
        site: dict(zip(frame["path"], frame["group"], strict=True)) for site, frame in rows.items()
    }
