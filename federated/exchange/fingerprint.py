"""A digest of Consilium's own code, so that a server never trains with clients of other code.

Flower's simulation imports client code from the folder its SuperLink was started in, which may hold
another project's ``clients`` package; without a check the run would finish, and mean nothing.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("federated", "clients", "server")


@cache
def code_digest() -> str:
    """Return SHA-256 over the Python files of the three packages, as they would be imported."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        for folder in folders or ():
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()
