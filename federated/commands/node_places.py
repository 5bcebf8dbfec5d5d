"""What a hospital's node-config names on its disk: its site, vault, policy and images."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from federated.commands.ending import sentence_of
from federated.commands.findings import GOOD, SLOW, WRONG, Finding
from federated.commands.machine import FULL_DISK
from federated.commands.node import OWN_KEYS
from federated.errors import UserError, shown

NO_ROOM = 1e9
"""Free bytes below which a vault may not take the versions of one run."""


def site(own: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the node says who it is, by a name that can name a folder."""
    from federated.exchange.orders import is_name

    name = own.get("site")
    if name is None:
        yield Finding(WRONG, "site", 'the node-config has no site; add site="NAME"')
    elif not is_name(str(name)):
        text = f"{shown(name)} cannot name a folder; choose a name without / and \\"
        yield Finding(WRONG, "site", text)
    else:
        yield Finding(GOOD, "site", str(name))


def vault(own: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the vault is this user's alone, can be written to and has room."""
    folder = Path(str(own.get("vault", "")))
    if "vault" not in own:
        yield Finding(WRONG, "vault", 'the node-config has no vault; add vault="/FOLDER"')
    elif fault := _fault_of_place(folder) or _fault_of_vault(folder):
        yield Finding(WRONG, "vault", f"{folder} {fault}")
    else:
        yield _room(folder)


def _fault_of_place(path: Path) -> str:
    if path.is_absolute():
        return ""
    return "is not a whole path; write it from / on, since a node may start in any folder"


def _fault_of_vault(folder: Path) -> str:
    """Return what is wrong with a vault and what to do; empty if nothing is."""
    make = f"install -d -m 700 -o {os.geteuid()} {folder}"
    try:
        found = folder.lstat()
    except OSError as error:
        return f"cannot be looked at ({error.strerror}); make it: {make}"
    if not stat.S_ISDIR(found.st_mode):
        return f"is a link or a file; a vault must be a folder itself: {make}"
    if found.st_uid != os.geteuid():
        return f"belongs to another user than {os.geteuid()}, who runs this; run it as the node's"
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return f"is open to other users (mode {mode:03o}); chmod 700 {folder}"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        return f"cannot be written to ({error.strerror}); chmod 700 it, or free its disk"
    return ""


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{folder}: mode 700, can be written to, {free / 1e9:.1f} GB free"
    if free < NO_ROOM:
        return Finding(WRONG, "vault", f"{text}; make room, at least {NO_ROOM / 1e9:.0f} GB")
    if free < FULL_DISK:
        return Finding(SLOW, "vault", f"{text}; a long run with a large memory may fill it")
    return Finding(GOOD, "vault", text)


def policy(own: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the hospital's list of what may leave it is there, readable and of this code.

    Where the node-config names none it is ``policy.toml`` in the vault.
    """
    from federated.exchange.fingerprint import code_digest
    from federated.exchange.policy import PolicyError, read_policy

    if not own.keys() & {"policy", "vault"}:
        return  # what is said of the vault is enough
    path = Path(str(own.get("policy") or Path(str(own.get("vault", ""))) / "policy.toml"))
    advice = f"write one: consilium policy CONFIG --to {path}"
    if fault := _fault_of_place(path):
        yield Finding(WRONG, "policy", f"{path} {fault}")
        return
    try:
        allowed = read_policy(path)
    except PolicyError as error:
        text = str(error) if path.exists() else f"there is no {path}; nothing leaves without it"
        yield Finding(WRONG, "policy", f"{text}; {advice}")
        return
    if allowed.code and allowed.code != code_digest():
        text = f"{path} allows only the code {allowed.code[:12]}, and here is {code_digest()[:12]}"
        yield Finding(WRONG, "policy", f"{text}; after an upgrade {advice}")
    elif path.stat().st_mode & 0o022:
        yield Finding(WRONG, "policy", f"{path} can be changed by other users; chmod go-w {path}")
    else:
        tensors = len(allowed.tensors or ())
        rounded = "all decimals" if allowed.digits < 0 else f"{allowed.digits} decimals"
        text = f"{path}: {tensors} tensors may leave, numbers with {rounded}, rates of at least "
        yield Finding(GOOD, "policy", f"{text}{allowed.minimum} images of a class")


def data(own: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield whether the site's images can be read, and what its splits hold of each class.

    It reads them as the node will, so that the node finds them in the cache.
    """
    from federated.config.identity import DATA_PLACES
    from federated.config.study import parse
    from federated.data import SPLITS, load_site
    from federated.exchange.orders import is_name

    if not is_name(str(own.get("site", ""))):
        return  # what is said of the site is enough
    places = {key: str(own[key]) for key in DATA_PLACES if key in own}
    if not places.keys() - {"data.cache"}:
        text = 'the node-config names no images; add data.folder="/FOLDER" or data.manifest'
        yield Finding(WRONG, "data", text)
        return
    for key, place in places.items():
        if fault := _fault_of_place(Path(place)):
            yield Finding(WRONG, "data", f"{key} = {place} {fault}")
            return
    try:
        config = parse({key: value for key, value in own.items() if key not in OWN_KEYS}).common
        images = load_site(config, str(own.get("site", "")), alone=True)
    except (UserError, OSError) as error:
        text = sentence_of(error) if isinstance(error, OSError) else str(error)
        yield Finding(WRONG, "data", f"{text.rstrip('.')}; `consilium data check` tells more")
        return
    for name in SPLITS:
        counts = np.bincount(images.split(name).labels, minlength=config.data.class_count)
        first, *others = [f"{count} of class {k}" for k, count in enumerate(counts)]
        text = f"{name}: {', '.join([first.replace(' of', ' images of'), *others])}"
        if counts.all():
            yield Finding(GOOD, "data", text)
        else:
            all_of_them = "both" if len(counts) == 2 else "all"
            more = f"a split needs {all_of_them}; `consilium data check` says where each image went"
            yield Finding(WRONG, "data", f"{text}; {more}")
