"""A folder of a site's own on its disk, closed to others, and the log in it."""

import os
import stat
import traceback
from datetime import UTC, datetime
from pathlib import Path

from federated.runs.folder import SITE_LOG
from federated.storage import PRIVATE_FILE, PRIVATE_FOLDER


class VaultError(Exception):
    """The vault does not hold what the federation went on from: nothing may be trained on it."""


def private_folder(root: Path, *names: str) -> Path:
    """Return the folder ``root/NAME/NAME...``, made where it is missing, closed to others.

    Raises:
        VaultError: one of them is a link or no folder, or belongs to somebody else.
    """
    folder = root
    for name in ("", *names):
        folder = folder / name
        found = _found(folder)
        if not stat.S_ISDIR(found.st_mode):
            raise VaultError(f"{folder} is a link and no folder; a vault must be a folder itself")
        if found.st_uid != os.geteuid():
            raise VaultError(f"{folder} belongs to another user; a vault must be the site's own")
        if stat.S_IMODE(found.st_mode) & 0o077:
            folder.chmod(PRIVATE_FOLDER)
    return folder


def _found(folder: Path) -> os.stat_result:
    """Return what is there under a folder's name, having made it where nothing is."""
    try:
        return folder.lstat()
    except FileNotFoundError:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return folder.lstat()


def log_failure(folder: Path, doing: str) -> None:
    """Append the exception being handled, with its traceback, to the log in a site's folder."""
    log = folder / SITE_LOG
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PRIVATE_FILE)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat()} {doing}\n{traceback.format_exc()}\n")
