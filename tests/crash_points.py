"""Kill a run before each of its file operations, resume it, and compare it with a whole one.

    python tests/crash_points.py [--every 1] [--case plain|finish|unlearning|site|record|masked]

Prints a line per point that does not come out equal, then the counts; exit status 1 if there is
one. A child process dies by ``os._exit`` right before the chosen operation, as by SIGKILL: buffers
that were not written are lost, nothing is cleaned up.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from federated.engine import run
from federated.runs.reading import load

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.chmod"}
"""Audit events that change a folder; ``open`` for writing is one too."""

MEASURED = ["seconds"]

TINY = {
    "engine.kind": "inline",
    "rounds": "3",
    "phantom.sites": "2",
    "phantom.patients": "12",
    "data.image-size": "32",
    "model.name": "convnet",
    "model.width": "0.25",
    "train.batch-size": "8",
    "train.precision": "fp32",
}

CASES: Mapping[str, Mapping[str, str]] = {
    # In the fourth round the first version of a vault is written over.
    "plain": {"methods": "consilium", "rounds": "5", "train.optimizer-state": "keep"},
    "finish": {"methods": "local,fedbn", "rounds": "1", "personalise.epochs": "1"},
    "unlearning": {
        "methods": "fedbn",
        "rounds": "5",
        "phantom.sites": "3",
        "rollout.hospital.phantom-2.go-live": "1",
        "rollout.hospital.phantom-2.leave": "3",
        "rollout.hospital.phantom-2.unlearn": "true",
    },
    "site": {
        "methods": "fedbn",
        "privacy.unit": "site",
        "privacy.clip": "1",
        "privacy.noise": "5",
    },
    "record": {
        "methods": "fedavg",
        "model.norm": "group",
        "privacy.unit": "record",
        "privacy.clip": "1",
        "privacy.noise": "1",
    },
    "masked": {
        "methods": "fedavg",
        "rounds": "2",
        "phantom.sites": "3",
        "privacy.secure-aggregation": "true",
    },
}

ACCOUNT = "spent.json"
"""A site's privacy account: what left has been seen, so no crash may make it smaller."""


def in_child(work: Callable[[], None]) -> int:
    """Do ``work`` in a child process and return its exit status."""
    child = os.fork()
    if child == 0:
        status = 3
        try:
            work()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        except BaseException as error:
            print(f"    {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(given: Mapping[str, str], point: int, counted: Path | None = None) -> int:
    """Run until right before the file operation number ``point``; return the exit status.

    Args:
        given: The run's settings.
        point: 1-based; 0: to the end.
        counted: Where to write how many operations there were.
    """
    watched, count = [Path(given["folder"]).parent], [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in CHANGES
        if event == "open" and isinstance(arguments[2], int):
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if not is_change or not isinstance(arguments[0], str | os.PathLike):
            return
        if watched[0] in Path(arguments[0]).absolute().parents:
            count[0] += 1
            if count[0] == point:
                os._exit(137)

    def work() -> None:
        sys.addaudithook(hook)
        run(dict(given))
        if counted is not None:
            total = count[0]
            counted.write_text(str(total))

    return in_child(work)


def outcome(folder: Path) -> dict[str, bytes]:
    """Return all that must be equal: numbers, every tensor and table, and which files there are."""
    found = {str(p.relative_to(folder)): b"" for p in folder.rglob("*")}
    for path in folder.rglob("*"):
        is_told = path.suffix in (".safetensors", ".csv") or path.name == ACCOUNT
        if is_told and path.name != "metrics.csv":
            found[str(path.relative_to(folder))] = path.read_bytes()
    configs = load(folder).study.by_method.values()
    if any(config.privacy.secure_aggregation for config in configs):
        # The secrets behind masks are drawn anew, so that digests of what left differ in any case.
        digests = found["received.csv"].splitlines()
        found["received.csv"] = b"\n".join(line.rsplit(b",", 2)[0] for line in digests)
    frame = load(folder).metrics
    frame = frame[~frame["metric"].isin(MEASURED)]
    found["metrics.csv"] = frame.to_csv(index=False).encode()
    return found


def unequal(case: str, every: int, root: Path) -> Iterator[tuple[int, int, list[str]]]:
    """Yield each point, how many there are, and what came out different."""
    settings = {**TINY, **CASES[case], "data.cache": str(root / "cache")}
    whole = {**settings, "folder": str(root / "whole" / "run")}
    counted = root / "count"
    if killed_at(whole, 0, counted) != 0:
        raise SystemExit(f"{case}: the run that nobody kills fails")
    expected, total = outcome(Path(whole["folder"])), int(counted.read_text())
    for point in range(1, total + 1, every):
        base = root / "cut"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        cut = {**settings, "folder": str(base / "run")}
        died = killed_at(cut, point)
        status = in_child(lambda cut=cut: run(dict(cut)))
        if died != 137 or status != 0:
            yield point, total, [f"killed with {died}, resumed with {status}"]
            continue
        found = outcome(base / "run")
        names = sorted(expected.keys() | found.keys())
        yield point, total, [name for name in names if expected.get(name) != found.get(name)]


def main() -> int:
    """Walk the points of each case and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every k-th point (1)")
    parser.add_argument("--case", choices=[*CASES], action="append", help="only these cases")
    arguments = parser.parse_args()
    faults = 0
    for case in arguments.case or CASES:
        tried = bad = 0
        with tempfile.TemporaryDirectory() as folder:
            for point, total, names in unequal(case, arguments.every, Path(folder)):
                tried += 1
                if names:
                    bad += 1
                    print(f"{case}, before operation {point} of {total}: {', '.join(names[:6])}")
        print(f"{case}: {tried} points, {bad} unequal", flush=True)
        faults += bad
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
