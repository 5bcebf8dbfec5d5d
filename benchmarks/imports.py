"""What a hospital's process spends on imports for a message: started anew, and forked.

    python benchmarks/imports.py

Processor time, user and system, of whole processes, least of several. The first lines are new
processes that import ever more; the last is one forked from `federated/deploy/forking.py` once it
has imported what all messages need, which `consilium node run` does. Then the packages whose own
modules take longest, as `python -X importtime` tells it; that takes twice as long itself.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

FORKING = Path(__file__).resolve().parent.parent / "federated/deploy"
FLOWER = "from flwr.supernode.cli.flwr_clientapp import flwr_clientapp"
ANEW = {
    "Python": "pass",
    "and Flower's `flwr-clientapp`": FLOWER,
    "and PyTorch": f"{FLOWER}; import torch",
    "and a hospital's part": f"{FLOWER}; import clients.app",
}
ROW = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def least(cost: Callable[[], float], repeats: int) -> float:
    """Return the least processor seconds of several tries."""
    return min(cost() for _ in range(repeats))


def anew(code: str) -> float:
    """Return what a new process that imports something takes."""
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, used = os.wait4(process.pid, 0)
    assert not status, code
    return used.ru_utime + used.ru_stime


def forked() -> float:
    """Return what a forked process takes that imports a hospital's part; call `preload` before."""
    if not (child := os.fork()):
        import clients.app  # noqa: F401

        os._exit(0)
    _, status, used = os.wait4(child, 0)
    assert not status
    return used.ru_utime + used.ru_stime


def by_package() -> Counter[str]:
    """Return the microseconds that the modules of each package take by themselves."""
    words = [sys.executable, "-X", "importtime", "-c", ANEW["and a hospital's part"]]
    told = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True).stderr
    counts: Counter[str] = Counter()
    for own, package in ROW.findall(told):
        counts[package] += int(own)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print("| a process that imports | CPU-s |\n|---|---|")
    for name, code in ANEW.items():
        print(f"| {name} | {least(partial(anew, code), repeats):.2f} |", flush=True)
    counts = by_package()
    sys.path.insert(0, str(FORKING))
    from forking import preload

    preload()
    print(f"| all of it, forked | {least(forked, repeats):.2f} |\n")
    largest = ", ".join(f"{name} {us / 1000:.0f}" for name, us in counts.most_common(12))
    print(f"own modules, ms under -X importtime: {largest}")


if __name__ == "__main__":
    main()
