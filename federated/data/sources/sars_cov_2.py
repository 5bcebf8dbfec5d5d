"""The SARS-CoV-2 CT-scan dataset (Soares et al. 2020): two class folders, nothing else."""

from pathlib import Path

from federated.data.formats.table import is_image
from federated.data.sources.listing import Listing, Row, beside, left_out, table_of
from federated.data.sources.publishers import class_folder, dataset_folder
from federated.data.sources.source import published
from federated.errors import UserError

CLASSES = ((1, "COVID"), (0, "non-COVID"))


def list_images(folder: Path) -> Listing:
    """List the data set as published in a folder.

    Raises:
        UserError: the folder or a class of it is missing or empty.
    """
    around = dataset_folder(folder)
    notes = beside(folder.name, around, [part for _, part in CLASSES])
    rows: list[Row] = []
    broken = [*around.broken]
    for label, part in CLASSES:
        tree = class_folder(folder / part)
        images = [name for name in tree.files if is_image(folder / part / name)]
        if not images:
            raise UserError(f"{folder / part}: holds no image; download the data set again")
        others = [name for name in tree.files if name not in set(images)]
        notes += left_out(part, "files that are no images", others)
        notes += beside(part, tree, tree.files)
        broken += tree.broken
        rows += [(f"{part}/{name}", label, "", "") for name in images]
    return Listing(folder, folder, table_of(rows), tuple(notes), tuple(broken))


SOURCE = published("sars_cov_2", list_images)
