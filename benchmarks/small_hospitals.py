"""Many small hospitals: what a site and round cost beside the training, next to a plain loop.

python benchmarks/small_hospitals.py [--sites 200] [--rounds 6] [--peers] [--environments FOLDER]

Each hospital has 16 training, 2 validation and 2 test images of 32 pixels: one step a round and one
evaluation, with a small network. The plain loop (``plain_loop.py``) does the same steps and
evaluations and keeps everything in memory; ``consilium`` recalibrates and trains against its
memory besides, which the loop does not do. Everyone runs with one round and with all of them; the
difference, by site and round, is what is told, so that no start is in it. Processor time is that of
all processes; runs are interleaved.
"""

import argparse
import statistics
import sys
import tempfile
from itertools import count
from pathlib import Path

import workload
from environments import default_folder
from measuring import adopt_orphans, measure
from peers import CONSILIUM, PLAIN, Command, others, script, wanted

SETTINGS: dict[str, bool | int | float | str] = {**workload.SETTINGS, "phantom.patients": 10}


def consilium(folder: Path, numbers: "count[int]", **settings: object) -> Command:
    """Return the command of a run into a fresh folder."""

    def command() -> list[str]:
        places = {"folder": folder / f"run-{next(numbers)}", "data__cache": folder / "cache"}
        return [*CONSILIUM, "--no-report", *workload.words(**places, **settings)]

    return command


def contestants(folder: Path, sites: int, rounds: int) -> dict[str, Command]:
    """Return the plain loop and Consilium's methods for so many sites and rounds."""
    numbers = count(1000 * rounds)
    same = {"phantom__sites": sites, "phantom__patients": 10, "rounds": rounds}
    inline = {**same, "engine__kind": "inline"}
    ray = {**same, "engine__kind": "ray", "engine__workers": 2}
    plain = script("plain_loop.py", folder / "sites.npz")
    return {
        PLAIN: lambda: [*plain(), str(rounds)],
        "fedbn, inline": consilium(folder, numbers, **inline, methods="fedbn"),
        "consilium, inline": consilium(folder, numbers, **inline, methods="consilium"),
        "fedbn, Ray, 2 workers": consilium(folder, numbers, **ray, methods="fedbn"),
        "consilium, Ray, 2 workers": consilium(folder, numbers, **ray, methods="consilium"),
    }


def peers(folder: Path, environments: Path, rounds: int) -> dict[str, Command]:
    """Return pfl-research and fluke on the same arrays."""
    found = others(folder / "sites.npz", environments, ["pfl", "fluke"])
    commands = {name: one.command for name, one in found.items() if "Flower" not in name}
    return {
        name: lambda command=command: [*command(), str(rounds)]  # type: ignore[misc]
        for name, command in commands.items()
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="pfl-research and fluke too")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--environments", type=Path, default=default_folder(), metavar="FOLDER")
    given = parser.parse_args()
    adopt_orphans()
    workload.SETTINGS |= {**SETTINGS, "phantom.sites": given.sites}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        workload.write_arrays(folder / "sites.npz", folder / "cache")
        lengths = (1, given.rounds)
        commands = {n: contestants(folder, given.sites, n) for n in lengths}
        if given.peers:
            for n in lengths:
                commands[n] |= peers(folder, given.environments, n)
        names = [name for name in commands[1] if wanted(name, given.only)]
        costs: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for repeat in range(given.repeats):
            for name in names:
                short, long = (measure(commands[n][name]()) for n in lengths)
                each = 1000 / given.sites / (given.rounds - 1)
                one = ((long.cpu - short.cpu) * each, (long.wall - short.wall) * each)
                costs[name].append(one)
                print(f"{repeat} {name}: {one[0]:.1f} CPU-ms, {one[1]:.1f} ms", file=sys.stderr)
    base = statistics.median(cpu for cpu, _ in costs[PLAIN])
    print("| | CPU-ms a site and round | x plain | ms by the clock |\n|---|---|---|---|")
    for name, found in costs.items():
        cpu = statistics.median(cpu for cpu, _ in found)
        wall = statistics.median(wall for _, wall in found)
        print(f"| {name} | {cpu:.1f} | {cpu / base:.2f} | {wall:.1f} |")


if __name__ == "__main__":
    main()
