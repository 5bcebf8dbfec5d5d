"""The peers' workload: what Consilium, a plain loop and other frameworks cost for the same FedBN.

python benchmarks/peers.py [--repeats 5] [--peers] [--only WORD ...] [--environments FOLDER]

``--peers`` adds Flower's own simulation, which is installed wherever Consilium is, and fluke,
NVFlare and pfl-research, each in a virtual environment of its own that is made on first use. Where
a peer brings another torch, the plain loop runs there too and is what that peer is compared with.
Who cannot be installed or fails is left out with a sentence.

Everyone trains on the same arrays with one torch thread and evaluates on validation and test
images every round. The plain loop reads them from one .npz file, which costs less than reading
Consilium's cache; making either is not counted. Everyone runs once before anything is counted, so
that files and byte code come from memory. Repeats are interleaved, so that whatever else the
machine does meets all alike. Processor time is that of all processes, Ray's daemons included.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from environments import REQUIREMENTS, default_folder, python_of, torch_of
from measuring import Cost, adopt_orphans, measure
from workload import words, write_arrays

HERE = Path(__file__).parent
CONSILIUM = [sys.executable, "-m", "federated.commands.main", "run"]
COLUMNS = ("CPU-s", "x plain", "wall s", "s/round warm", "end of round 1, s")
PLAIN = "plain loop"
TITLES = {
    "pfl": "pfl-research, FedAvg",
    "fluke": "fluke",
    "nvflare": "NVFlare's simulator, 4 processes",
}

Command = Callable[[], list[str]]


@dataclass(frozen=True)
class Contestant:
    """A command, made anew for every run since a run wants a fresh folder, and its yardstick."""

    command: Command
    plain: str = PLAIN


def script(name: str, arrays: Path, python: str = sys.executable) -> Command:
    """Return the command that runs a script of this folder on the arrays."""
    return lambda: [python, str(HERE / name), str(arrays)]


def own(folder: Path) -> dict[str, Contestant]:
    """Return the plain loop, and Consilium in several forms."""
    number = count()

    def consilium(*options: str, **settings: object) -> Contestant:
        def command() -> list[str]:
            places = {"folder": folder / f"run-{next(number)}", "data__cache": folder / "cache"}
            return [*CONSILIUM, *options, *words(**places, **settings)]

        return Contestant(command)

    return {
        PLAIN: Contestant(script("plain_loop.py", folder / "sites.npz")),
        "consilium, inline": consilium("--no-report", engine__kind="inline"),
        "consilium, Ray, 2 workers": consilium(
            "--no-report", engine__kind="ray", engine__workers=2
        ),
        "consilium, inline, with report": consilium(engine__kind="inline"),
    }


def wanted(name: str, only: list[str]) -> bool:
    """Return whether a contestant was asked for; plain loops always are."""
    asked = any(word.lower() in name.lower() for word in only)
    return asked or not only or name.startswith(PLAIN)


def others(arrays: Path, environments: Path, only: list[str]) -> dict[str, Contestant]:
    """Return the peers that were asked for and can be installed."""
    found = {"Flower's simulation, 2 workers": Contestant(script("peer_flower.py", arrays))}
    for peer in REQUIREMENTS:
        if not wanted(TITLES[peer], only):
            continue
        try:
            python = python_of(peer, environments)
        except RuntimeError as error:
            print(f"{TITLES[peer]} is left out: {error}", file=sys.stderr)
            continue
        plain, torch = PLAIN, torch_of(python)
        if torch != torch_of():
            plain = f"{PLAIN} with torch {torch}"
            found[plain] = Contestant(script("plain_loop.py", arrays, python), plain)
        found[TITLES[peer]] = Contestant(script(f"peer_{peer}.py", arrays, python), plain)
    return found


def run_all(contestants: dict[str, Contestant], repeats: int) -> dict[str, list[Cost]]:
    """Measure everyone in turn, ``repeats`` times and once more; the first time does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name in list(costs):
            try:
                cost = measure(contestants[name].command())
            except RuntimeError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                del costs[name]
                continue
            print(
                f"{repeat}/{repeats} {name}: {cost.cpu:.1f} CPU-s, {cost.wall:.1f} s, "
                f"round 1 after {cost.first_round:.1f} s, {cost.warm:.2f} s/round",
                file=sys.stderr,
            )
            if repeat:
                costs[name].append(cost)
    return costs


def table(costs: dict[str, list[Cost]], contestants: dict[str, Contestant]) -> str:
    """Return medians over the repeats, with the range of the processor time, as Markdown."""
    medians = {name: statistics.median(c.cpu for c in repeats) for name, repeats in costs.items()}
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, repeats in costs.items():
        cpu = [cost.cpu for cost in repeats]
        cells = [
            f"{medians[name]:.1f} ({min(cpu):.1f}–{max(cpu):.1f})",
            f"{medians[name] / medians[contestants[name].plain]:.2f}",
            f"{statistics.median(cost.wall for cost in repeats):.1f}",
            f"{statistics.median(cost.warm for cost in repeats):.2f}",
            f"{statistics.median(cost.first_round for cost in repeats):.1f} "
            f"({min(cost.first_round for cost in repeats):.1f} at best)",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="other frameworks too")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="the plain loop and those whose name has such a word in it",
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=default_folder(),
        metavar="FOLDER",
        help="where the peers are installed (%(default)s)",
    )
    given = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        contestants = own(folder)
        if given.peers:
            contestants |= others(folder / "sites.npz", given.environments, given.only)
        contestants = {n: c for n, c in contestants.items() if wanted(n, given.only)}
        write_arrays(folder / "sites.npz", folder / "cache")
        print(table(run_all(contestants, given.repeats), contestants))


if __name__ == "__main__":
    main()
