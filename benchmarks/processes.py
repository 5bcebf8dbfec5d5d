"""CPU time and memory of this process and those below it, from /proc: Linux only."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


def _stat(process: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the command's name; none if it has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(root: int | None = None) -> dict[int, str]:
    """Return a process, by default this one, and all below it, with their command lines."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(folder.name)):
            parents[int(folder.name)] = int(fields[1])
    found = front = {root or os.getpid()}
    while front:
        front = {child for child, parent in parents.items() if parent in front} - found
        found |= front
    return {process: _command(process) for process in found}


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def cpu_seconds() -> float:
    """Return the CPU time that this process and all below it have used."""
    fields = [_stat(process) for process in family()]
    return sum(int(f[11]) + int(f[12]) for f in fields if f) / TICKS


def cpu_of(process: int) -> float:
    """Return the CPU time of a process and of those it started and saw end."""
    return sum(map(int, _stat(process)[11:15])) / TICKS


def resident_mb(process: int | None = None) -> float:
    """Return the memory of a process, by default this one, that lies in RAM."""
    fields = _stat(process or os.getpid())
    return int(fields[21]) * PAGE_MB if fields else 0.0
