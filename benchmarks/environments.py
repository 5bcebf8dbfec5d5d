"""A virtual environment for each peer: few are installed beside Consilium, some pin other versions.

An environment is made on first use and kept. What lies in it is the newest that the ranges allow.
"""

import os
import subprocess
import sys
from pathlib import Path

TORCH = "torch>=2.6,<2.14"  # as Consilium's own
REQUIREMENTS = {
    "pfl": ("pfl>=0.6,<0.7", TORCH),
    "fluke": ("fluke-fl>=0.8,<0.9", "torch>=2.6", "torchvision>=0.21"),
    "nvflare": ("nvflare>=2.9,<2.10", TORCH),
}
"""What pip installs for each peer."""


def default_folder() -> Path:
    """Return the place of the environments in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "consilium" / "peers"


def python_of(peer: str, folder: Path) -> str:
    """Return the Python of a peer's environment, which is made first if need be.

    Raises:
        RuntimeError: it could not be installed; the last words about it are told.
    """
    place, wanted = folder.resolve() / peer, REQUIREMENTS[peer]
    python, done = place / "bin" / "python", place / "installed.txt"
    if python.exists() and done.exists() and done.read_text().splitlines() == list(wanted):
        return str(python)
    print(f"installing {', '.join(wanted)} into {place}", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", *wanted],
    ):
        step = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if step.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{step.stdout[-1000:]}")
    done.write_text("\n".join(wanted))
    return str(python)


def torch_of(python: str = sys.executable) -> str:
    """Return the version of torch that a Python has, by default this one."""
    code = "from importlib.metadata import version; print(version('torch'), end='')"
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True).stdout
