"""How much of the machine's processor this process may use."""

import os
from pathlib import Path

QUOTAS = (Path("/sys/fs/cgroup/cpu.max"),)
"""Where Linux says what a container may use: microseconds of processor time, and in how many."""


def cores(quotas: tuple[Path, ...] = QUOTAS) -> int:
    """Return how many cores this process may use: of those it may run on, what its container pays.

    A container may see 64 cores and be stopped after the time of two; threads for all of them
    would wait for each other.
    """
    visible = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([visible or 1, *(bound for path in quotas if (bound := _quota(path)))]))


def _quota(path: Path) -> int:
    """Return the whole cores that a quota pays for; 0: there is none."""
    try:
        allowed, period = path.read_text().split()
        return max(1, int(allowed) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return 0
