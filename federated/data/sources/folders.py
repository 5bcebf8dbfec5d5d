"""A folder per class, as most people keep their images: FOLDER/[SITE/]CLASS/[PATIENT/...]IMAGE.

Where a folder right below FOLDER has the name of a class, FOLDER is one site; else each folder in
it is one. What lies below a class's folder in a folder of its own is one patient, by that folder's
name, and the same name below two classes is the same patient. Links are followed. What is no image,
is hidden or lies beside the folders is left out and counted in a note; links to nothing, links in a
circle and pipes are unusable.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from federated.config.images import Data
from federated.data.files import Tree, tree_of
from federated.data.formats.table import is_image
from federated.data.names import refuse_alike, site_of
from federated.data.sources.labels import class_names, label_of, labels_of
from federated.data.sources.listing import (
    Listing,
    Row,
    beside,
    class_notes,
    left_out,
    table_of,
)
from federated.data.sources.source import DataSets, Dealing, Source, absolute
from federated.errors import UserError


def datasets(data: Data, dealing: Dealing) -> DataSets:
    """Return the sites in the folder.

    Raises:
        UserError: there is no such folder, nothing in it, or two of its folders become one site.
    """
    folder, labels = absolute(data.folder, "folder"), labels_of(data)
    places, around = _sites(folder, labels)

    def listed(site: str) -> Listing:
        listing = class_folders(places[site], labels, data.classes)
        if site != min(places):
            return listing
        # What lies beside the sites' folders is told once, with the first site.
        notes = (*beside(folder.name, around, around.folders), *listing.notes)
        return replace(listing, notes=notes, skipped=(*around.broken, *listing.skipped))

    return {site: partial(listed, site) for site in places}


def _sites(folder: Path, labels: Mapping[str, int]) -> tuple[dict[str, Path], Tree]:
    """Return the folder of each site, and what lies around these."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; correct data.folder")
    tree = tree_of(folder)
    if not tree.folders:
        first = f" ({tree.broken[0]})" if tree.broken else ""
        raise UserError(f"{folder}: holds no folder{first}; put the images in one folder per class")
    if any(label_of(name, labels) is not None for name in tree.folders):
        return {site_of(folder.name): folder}, Tree()
    refuse_alike([(name, site_of(name)) for name in tree.folders], str(folder))
    return {site_of(name): folder / name for name in tree.folders}, tree


def class_folders(folder: Path, labels: Mapping[str, int], named: tuple[str, ...] = ()) -> Listing:
    """List one site.

    Args:
        folder: of its classes.
        labels: names of classes beyond the usual.
        named: ``data.classes``.

    Raises:
        UserError: there is no class, or none of its images.
    """
    tree = tree_of(folder)
    rows: list[Row] = []
    notes = beside(folder.name, tree, tree.folders)
    skipped = [*tree.broken]
    for name in tree.folders:
        label = label_of(name, labels)
        if label is None:
            which = named[0] if named else "0 (or 1 for the class to be found)"
            skipped.append(
                f"{folder / name}: '{name}' is no known class; set data.labels = {name}={which}, "
                "or remove the folder"
            )
            continue
        images, left, broken = _images(folder / name)
        notes += left
        skipped += broken
        rows += [(f"{name}/{image}", label, _patient(image), "") for image in images]
    if not rows:
        raise UserError(
            skipped[0]
            if skipped and tree.folders
            else f"{folder}: holds no folder of a class such as covid or non-covid; rename the "
            "folders or set data.labels"
        )
    classes = class_names(((row[0].partition("/")[0], row[1]) for row in rows), named)
    table = table_of(rows)
    notes = [*notes, *class_notes(table, classes)]
    return Listing(folder, folder, table, tuple(notes), tuple(skipped), classes)


def _images(place: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the images of a class, notes on what was left out, and what is unusable."""
    tree = tree_of(place, deep=True)
    images = [name for name in tree.files if is_image(place / name)]
    if not images:
        first = f" ({tree.broken[0]})" if tree.broken else ""
        raise UserError(f"{place}: the class holds no image{first}; fill or remove the folder")
    kept = set(images)
    others = [name for name in tree.files if name not in kept]
    notes = left_out(place.name, "files that are no images", others)
    return images, notes + beside(place.name, tree, tree.files), tree.broken


def _patient(name: str) -> str:
    patient, slash, _ = name.partition("/")
    return patient if slash else ""


SOURCE = Source("folder", datasets)
