"""On what a run ran: versions, commit, processor."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from federated.exchange.fingerprint import code_digest
from federated.learning.compute import native_bf16

PACKAGES = ("consilium", "torch", "flwr", "ray", "numpy", "pandas", "pyarrow", "safetensors")


def version_of(package: str) -> str | None:
    """Return the installed version of a package, None if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def processor_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def environment() -> dict[str, Any]:
    """Return what ``environment.json`` of a run holds. No host name, no user name, no path."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "commit_is_dirty": bool(_git("status", "--porcelain")),
        "code_sha256": code_digest(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": processor_name(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "native_bf16": native_bf16(torch.device("cpu")),
        "gpu_native_bf16": bool(gpus) and native_bf16(torch.device("cuda")),
        "gpus": gpus,
    }
