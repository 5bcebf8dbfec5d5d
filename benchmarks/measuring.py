"""What a command costs: the processor time of all its processes, and when its rounds ended."""

import ctypes
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
LINGER = 15.0
"""Seconds that processes left behind by a command may take to end before they are killed."""
SAMPLED = 0.1
"""Seconds between looks at processes whose time no parent inherits."""
COLD_ROUNDS = 3
_ROUND = re.compile(r"\bround (\d+):")


@dataclass(frozen=True)
class Cost:
    """What one command cost.

    Attributes:
        cpu: Processor seconds, user and system, of every process that came of it.
        wall: Seconds from start to the end of its first process.
        rounds: Seconds from the start to the end of each round.
    """

    cpu: float
    wall: float
    rounds: tuple[float, ...]

    @property
    def first_round(self) -> float:
        """Seconds from the shell prompt to the end of round 1."""
        return self.rounds[0]

    @property
    def warm(self) -> float:
        """Seconds a round, the median once warm."""
        ends = self.rounds[COLD_ROUNDS - 1 :]
        return statistics.median(b - a for a, b in pairwise(ends))


def adopt_orphans() -> None:
    """Have every process that a command leaves behind, as Ray's do, counted here (Linux only)."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit("this kernel has no child subreapers; the processes of Ray could not be counted")


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command that prints ``round N: ...`` at the end of each round.

    Raises:
        RuntimeError: it failed; its last lines are told.
    """
    before, started = _cpu(), time.perf_counter()
    unreaped = Unreaped()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
    )
    assert process.stdout is not None
    ends: dict[int, float] = {}
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := _ROUND.search(line):
            ends.setdefault(int(found[1]), time.perf_counter() - started)
    status = process.wait()
    wall = time.perf_counter() - started
    _reap_all()
    cpu = _cpu() - before + unreaped.stop()
    if status or not ends:
        raise RuntimeError(f"{' '.join(command)} failed ({status}):\n{''.join(lines[-15:])}")
    return Cost(cpu, wall, tuple(ends[number] for number in sorted(ends)))


class Unreaped:
    """Samples the processor time of Ray's workers.

    Their parent, the raylet, ignores SIGCHLD, and the kernel adds the time of no such child to
    anyone's: what they used in the last moment before they ended is missed.
    """

    def __init__(self) -> None:
        self._used: dict[tuple[int, int], float] = {}  # by process id and start
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()

    def stop(self) -> float:
        """Return the seconds that all workers have used."""
        self._stopped.set()
        self._thread.join()
        return sum(self._used.values())

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLED):
            stats = dict(filter(None, map(_stat, Path("/proc").glob("[0-9]*"))))
            for process, (_, parent, ticks, start) in stats.items():
                if stats.get(parent, ("",))[0] == "raylet" and _is_ours(parent, stats):
                    self._used[process, start] = ticks / os.sysconf("SC_CLK_TCK")


def _is_ours(process: int, stats: Mapping[int, tuple[str, int, int, int]]) -> bool:
    """Return whether this process is an ancestor: others may run a Ray of their own."""
    while process in stats and process != os.getpid():
        process = stats[process][1]
    return process == os.getpid()


def _stat(folder: Path) -> tuple[int, tuple[str, int, int, int]] | None:
    """Return id, name, parent, ticks used and start of a process; None if it has just ended."""
    try:
        head, _, tail = (folder / "stat").read_text().rpartition(") ")
    except OSError:
        return None
    words = tail.split()  # from the third field of proc(5) on
    ticks = int(words[11]) + int(words[12])
    return int(folder.name), (head.partition("(")[2], int(words[1]), ticks, int(words[19]))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _reap_all() -> None:
    """Wait for adopted processes; kill those that stay, so that they are counted too."""
    deadline = time.monotonic() + LINGER
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            if time.monotonic() > deadline:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.05)
    except ChildProcessError:
        return


def _children() -> list[int]:
    folder = Path("/proc/self/task")
    return [int(p) for task in folder.iterdir() for p in (task / "children").read_text().split()]
