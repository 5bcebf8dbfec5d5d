"""Images from outside a run, read, scaled and cached exactly as those of the run were."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from federated.config.common import Common
from federated.config.images import Partition
from federated.data import load_site, site_names
from federated.data.formats.table import is_image
from federated.data.grouping import groups_by_site
from federated.data.site import SPLITS, Split
from federated.errors import UserError
from federated.lazy import pd
from federated.learning.batches import Images

TABLES = (".csv", ".parquet")


def labelled(run: Common, place: Path) -> tuple[Common, dict[str, Split]]:
    """Return a folder of one folder per class, or a manifest, as images by hospital.

    Args:
        run: What the run's methods share: says how images are read and how large they are.
        place: As ``data.folder``, or where it is a CSV or parquet file, as ``data.manifest``.

    Returns:
        The configuration by which they were read, and all images of each hospital in it.

    Raises:
        UserError: there is no such place, or an image in it is unusable.
    """
    place = place.absolute()
    if not place.exists():
        raise UserError(f"--data {place}: there is no such folder or manifest.")
    key = "manifest" if place.suffix.lower() in TABLES else "folder"
    places: dict[str, Any] = {
        "covid_ct": "",
        "sars_cov_2": "",
        "manifest": "",
        "folder": "",
        key: str(place),
    }
    data = replace(run.data, **places, shift=0.0, val_fraction=0.0, test_fraction=0.0)
    config = replace(
        run, data=data, partition=Partition(), phantom=replace(run.phantom, sites=0), calendars=()
    )
    return config, {site: whole(config, site) for site in site_names(config)}


def unlabelled(run: Common, folder: Path) -> Split:
    """Return all images below a folder, whatever its folders are called; labels mean nothing.

    Raises:
        UserError: there is no image, or one is unusable.
    """
    every = folder.absolute().rglob("*")
    paths = sorted(path for path in every if path.is_file() and is_image(path))
    if not paths:
        raise UserError(f"--data {folder}: there is no image in this folder.")
    rows = pd.DataFrame({"path": map(str, paths), "label": 0, "site": "unlabelled"})
    with tempfile.TemporaryDirectory() as made:
        manifest = Path(made) / "images.csv"
        rows.to_csv(manifest, index=False)
        _, found = labelled(
            replace(run, data=replace(run.data, columns="", labels="", classes=())), manifest
        )
    [split] = found.values()
    return split


def whole(config: Common, site: str) -> Split:
    """Return all images of a hospital, of whatever split."""
    data = load_site(config, site)
    parts = [data.split(name) for name in SPLITS]
    return Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(name for part in parts for name in part.ids),
    )


def as_images(split: Split, size: int) -> Images:
    """Return images as a network of input side ``size`` is shown them."""
    return Images(split.images, torch.tensor(split.labels), size)


def numbered_groups(config: Common, site: str, ids: Sequence[str]) -> tuple[list[int], bool]:
    """Return the number of each image's group, and whether groups are known."""
    groups = groups_by_site(config, [site]).get(site, {})
    known = all(name in groups for name in ids)
    names = [groups[name] for name in ids] if known else list(ids)
    return np.unique(names, return_inverse=True)[1].tolist(), known
