"""``consilium doctor``: what this machine has, and what will be slow or missing, and why."""

import argparse
import os
import platform
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from federated.commands.findings import GOOD, SLOW, WRONG, Finding, concluded
from federated.errors import UserError

FULL_DISK = 5e9
"""Free bytes below which a run of many sites may not find room."""
SMALL_SHM = 1e9
"""Bytes of /dev/shm below which Ray keeps its objects on the disk."""


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    doctor = commands.add_parser(
        "doctor",
        help="look at this machine: versions, cores, GPU, Ray, disk, data; what will be slow and "
        "why",
        epilog="examples: consilium doctor · consilium doctor configs/two-hospitals.toml "
        "data.covid-ct=PATH; exit status 1 if something is wrong",
    )
    doctor.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    doctor.set_defaults(call=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    return concluded(examined(arguments.settings))


def examined(words: list[str]) -> Iterator[Finding]:
    """Yield what is found, for a run of the given configuration or of none.

    Args:
        words: At most one .toml file, and key=value words.
    """
    yield from versions()
    yield from _code()
    yield from _processor()
    yield from _places()
    yield from _ray()
    yield from _data(words)


def versions() -> Iterator[Finding]:
    """Yield the versions of Python and of the packages whose numbers a run depends on."""
    from federated.runs.environment import PACKAGES, version_of

    yield Finding(GOOD, "Python", f"{platform.python_version()} on {platform.system()}")
    found = {name: version_of(name) for name in PACKAGES}
    missing = [name for name, version in found.items() if version is None]
    text = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    yield Finding(GOOD, "packages", text)
    for name in missing:
        yield Finding(WRONG, "packages", f"{name} is not installed; pip install {name}")


def _code() -> Iterator[Finding]:
    from federated.exchange.fingerprint import code_digest

    yield Finding(GOOD, "code", f"digest {code_digest()[:12]}; a run goes on only under the same")


def _processor() -> Iterator[Finding]:
    import torch

    from federated.learning.compute import native_bf16
    from federated.processor import cores
    from federated.runs.environment import processor_name

    count = cores()
    yield Finding(GOOD, "processor", f"{processor_name()}, {count} cores to use")
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and threads != "1":
        yield Finding(
            SLOW,
            "threads",
            f"OMP_NUM_THREADS = {threads}: workers set their own number (engine.threads)",
        )
    if native_bf16(torch.device("cpu")):
        yield Finding(
            SLOW,
            "precision",
            f"bfloat16 in hardware, {_speed_up():.1f} × float32 in a matrix product: "
            "train.precision = auto uses it and gives other numbers than a machine without it; "
            "write train.precision = fp32 to compare machines",
        )
    else:
        yield Finding(GOOD, "precision", "float32; this processor has no bfloat16")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if gpus:
        yield Finding(GOOD, "GPU", f"{', '.join(gpus)}; engine.gpus = 0.5 lets two workers share")
    else:
        yield Finding(
            SLOW, "GPU", "none: the full network at 224 px trains a few images a second a core"
        )


def _speed_up() -> float:
    """Return how much quicker this processor multiplies matrices in bfloat16 than in float32."""
    import torch

    def best(x: Any) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            x @ x
            times.append(time.perf_counter() - start)
        return min(times)

    square = torch.ones(512, 512)
    return best(square) / best(square.bfloat16())


def _places() -> Iterator[Finding]:
    from federated.data.cache import cache_folder

    for what, place in (("runs", Path.cwd()), ("cache", cache_folder(""))):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        free = shutil.disk_usage(there).free
        state, more = GOOD, ""
        if not os.access(there, os.W_OK):
            state, more = WRONG, "; it cannot be written to, choose another folder"
        elif free < FULL_DISK:
            state, more = SLOW, "; a run of many sites may fill it"
        yield Finding(state, what, f"{place}: {free / 1e9:.0f} GB free{more}")


def _ray() -> Iterator[Finding]:
    from federated.engine.ray import own

    shm = Path("/dev/shm")  # noqa: S108
    if shm.exists() and (size := shutil.disk_usage(shm).total) < SMALL_SHM:
        yield Finding(
            SLOW,
            "Ray",
            f"{shm} has {size / 1e9:.1f} GB: Ray falls back to the disk, which is slow; in a "
            "container, start it with --shm-size=2g",
        )
    wanted = os.environ.get("RAY_TMPDIR")
    if wanted and len(wanted) > own.LONGEST_PARENT:
        yield Finding(
            WRONG, "Ray", f"RAY_TMPDIR = {wanted} is too long for its sockets; choose a short one"
        )
    address = os.environ.get("RAY_ADDRESS")
    if address:
        yield Finding(
            SLOW, "Ray", f"RAY_ADDRESS = {address} is not used; engine.address joins a cluster"
        )
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's tips on its own future
            cluster = own.start()
    except UserError as error:
        yield Finding(WRONG, "Ray", str(error))
        return
    seconds = time.perf_counter() - started
    cluster.close()
    yield Finding(GOOD, "Ray", f"started and ended, the start in {seconds:.1f} s")


def _data(words: list[str]) -> Iterator[Finding]:
    from federated.commands.data import config_of
    from federated.data import site_names

    try:
        sites = site_names(config_of(words))
    except UserError as error:
        yield Finding(WRONG, "data", str(error))
        return
    shown = ", ".join(sites[:6]) + (f" and {len(sites) - 6} more" if len(sites) > 6 else "")
    synthetic = "" if words else " (synthetic; name a config or data.* settings to check yours)"
    yield Finding(GOOD, "data", f"{len(sites)} hospitals: {shown}{synthetic}")
