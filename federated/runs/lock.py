"""One writer: a run folder is locked as long as a process works in it.

The lock is the kernel's and ends with the process however it dies, so none is ever stale.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federated.errors import UserError
from federated.storage import PRIVATE_FILE


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock ``path`` of a run folder while the block runs.

    Raises:
        UserError: another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 64).decode(errors="replace").strip()
            raise UserError(
                f"{path.parent} is in use: process {holder or 'unknown'} works on that run. Wait "
                "until it has ended, or name another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
