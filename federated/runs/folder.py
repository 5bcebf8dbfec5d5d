"""Where a run goes."""

import os
import time
from pathlib import Path

from federated.errors import UserError, shown_path
from federated.config.common import Common


def choose_folder(config: Common, *, new: bool) -> Path:
    """Return the run's absolute folder, as configured or named after the run and the time.

    Raises:
        UserError: a new run would write into a folder that has something in it.
    """
    if not config.folder:
        named = Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return named.absolute()
    folder = Path(config.folder).expanduser().absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise UserError(f"{shown_path(nearest)} is a file; name a folder for the run.")
    if new and not os.access(nearest, os.W_OK):
        raise UserError(f"{shown_path(nearest)} cannot be written to; name another run folder.")
    if new and folder.exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder} is not empty; name another folder, or go on with the run in it: "
            f"consilium resume {folder}"
        )
    return folder
