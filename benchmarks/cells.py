"""Throughput of cells side by side: two workers against one, next to what the machine allows.

python benchmarks/cells.py [--repeats 3]

Four cells (two methods, two seeds) at two hospitals, one with eight times the images of the
other, so that one by one nearly half of the time of two workers is waiting for the larger.
Throughput is cells a second, from the first round's start to the last cell's end; the start of
Ray is not in it. Busy is the share of that time in which the workers are at a site's work, which
other programs beside it hardly change. The ceiling is how much more two bare processes do than one,
measured as in scaling.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import numpy as np
from measuring import adopt_orphans
from PIL import Image
from scaling import bare_seconds

SETTINGS = {
    "methods": "fedbn,fedavg",
    "seeds": "0,1",
    "rounds": 6,
    "phantom.sites": 0,
    "data.duplicate-correlation": 1,
    "data.image-size": 64,
    "model.width": 0.25,
    "train.precision": "fp32",
    "engine.kind": "ray",
    "engine.threads": 1,
}


IMAGES = {"large": 160, "small": 20}
"""Of each class at each hospital."""


def write_images(folder: Path) -> None:
    """Write noise as images of two hospitals."""
    generator = np.random.default_rng(0)
    for site, images in IMAGES.items():
        for label in ("COVID", "non-COVID"):
            (folder / site / label).mkdir(parents=True)
            for number in range(images):
                pixels = generator.integers(0, 256, (80, 80), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / site / label / f"{number}.png")


def cell_seconds(folder: Path, workers: int) -> tuple[float, float]:
    """Return the seconds from the first cell's start to the last one's end, and the busy share.

    That is the share of the workers' time in which they are at a site's work.
    """
    root = folder.parent
    places = {"folder": folder, "data.folder": root / "images", "data.cache": root / "cache"}
    given = {**SETTINGS, **places, "engine.workers": workers}
    words = [f"{key}={value}" for key, value in given.items()]
    command = [sys.executable, "-m", "federated.commands.main", "run", "--no-report", "--json"]
    began, ended, busy, at_work, last = 0.0, 0.0, 0.0, 0, 0.0
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            kind, now = json.loads(line)["kind"], time.perf_counter()
            busy += at_work * (now - last) if began else 0.0
            last = now
            at_work += {"site-started": 1, "site-ended": -1}.get(kind, 0)
            began = began or (now if kind == "cell-started" else 0.0)
            ended = now if kind == "cell-ended" else ended
    if process.returncode:
        sys.exit(f"the run with {workers} workers failed")
    return ended - began, busy / (ended - began) / workers


def main() -> None:
    """Measure both in turn and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    adopt_orphans()
    seconds: dict[str, list[float]] = {}
    number = count()
    with tempfile.TemporaryDirectory() as scratch:
        write_images(Path(scratch) / "images")
        for _ in range(arguments.repeats):
            for workers in (1, 2):
                folder = Path(scratch) / f"run-{next(number)}"
                took, share = cell_seconds(folder, workers)
                seconds.setdefault(f"{workers} workers", []).append(took)
                print(f"{workers} workers: busy {share:.3f} of {took:.1f} s", flush=True)
            for processes in (1, 2):
                took = bare_seconds(processes, 1)
                seconds.setdefault(f"{processes} bare processes", []).append(took)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name}: {value:.2f} s ({', '.join(f'{v:.2f}' for v in seconds[name])})")
    ours = median["1 workers"] / median["2 workers"]
    machine = 2 * median["1 bare processes"] / median["2 bare processes"]
    print(
        f"throughput {ours:.2f} x; two bare processes {machine:.2f} x; {ours / machine:.2f} of it"
    )


if __name__ == "__main__":
    main()
