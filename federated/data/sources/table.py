"""All sources of images. A new public data set is one file with a ``SOURCE`` and one entry here.

Its setting is a field of ``federated.config.common.Data``, whose meaning is the source's sentence.
"""

from federated.config.images import Data
from federated.data import names
from federated.data.sources import covid_ct, folders, sars_cov_2, usermanifest
from federated.data.sources.listing import Listing
from federated.data.sources.source import DataSets, Dealing
from federated.errors import UserError

SOURCES = (covid_ct.SOURCE, sars_cov_2.SOURCE, folders.SOURCE, usermanifest.SOURCE)


def is_any_given(data: Data) -> bool:
    """Return whether the settings name images of files."""
    return any(source.is_given(data) for source in SOURCES)


def datasets(data: Data, dealing: Dealing) -> DataSets:
    """Return the settings' data sets of files by name, sorted.

    Raises:
        UserError: two have the same name.
    """
    by_name: dict[str, tuple[str, DataSets]] = {}
    for source in SOURCES:
        if not source.is_given(data):
            continue
        for name in (more := source.datasets(data, dealing)):
            earlier, _ = by_name.setdefault(names.key_of(name), (f"{source.key}: {name}", more))
            if earlier != f"{source.key}: {name}":
                raise UserError(
                    f"{source.key}: has a site '{name}', a name that is taken by another source "
                    f"({earlier}); rename it"
                )
    found = {name: read for _, more in by_name.values() for name, read in more.items()}
    return {name: found[name] for name in sorted(found)}


def list_images(data: Data, name: str, dealing: Dealing) -> Listing:
    """List a data set of :func:`datasets`.

    Raises:
        UserError: it cannot be listed; or strict, and something in it cannot be used.
    """
    listing = datasets(data, dealing)[name]()
    if data.strict and listing.skipped:
        raise UserError(listing.skipped[0])
    return listing
