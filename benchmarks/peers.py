"""The peers' workload: what Consilium, a plain loop and other frameworks cost for the same FedBN.

python benchmarks/peers.py [--repeats 5] [--peers]

``--peers`` adds Flower's own simulation, which is installed wherever Consilium is.

Everyone trains on the same arrays with one torch thread and evaluates on validation and test
images every round. The plain loop reads them from one .npz file, which costs less than reading
Consilium's cache; making either is not counted. Repeats are interleaved, so that whatever else the
machine does meets all alike. Processor time is that of all processes, Ray's daemons included.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from measuring import Cost, adopt_orphans, measure
from workload import words, write_arrays

HERE = Path(__file__).parent
CONSILIUM = [sys.executable, "-m", "federated.cli", "run"]
COLUMNS = ("CPU-s", "x plain", "wall s", "s/round warm", "end of round 1, s")

Command = Callable[[], list[str]]


def contestants(folder: Path, *, peers: bool) -> dict[str, Command]:
    """Return a command for each, made anew for every repeat since a run wants a fresh folder."""
    arrays, number = str(folder / "sites.npz"), count()

    def consilium(*options: str, **settings: object) -> Command:
        def command() -> list[str]:
            places = {"folder": folder / f"run-{next(number)}", "data__cache": folder / "cache"}
            return [*CONSILIUM, *options, *words(**places, **settings)]

        return command

    def script(name: str) -> Command:
        return lambda: [sys.executable, str(HERE / name), arrays]

    found = {
        "plain loop": script("plain_loop.py"),
        "consilium, inline": consilium("--no-report", engine__kind="inline"),
        "consilium, Ray, 2 workers": consilium(
            "--no-report", engine__kind="ray", engine__workers=2
        ),
        "consilium, inline, with report": consilium(engine__kind="inline"),
    }
    if peers:
        found["Flower's simulation, 2 workers"] = script("peer_flower.py")
    return found


def run_all(commands: dict[str, Command], repeats: int) -> dict[str, list[Cost]]:
    """Measure everyone in turn, ``repeats`` times; who fails is left out with a sentence."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for repeat in range(1, repeats + 1):
        for name in list(costs):
            try:
                cost = measure(commands[name]())
                costs[name].append(cost)
                print(
                    f"{repeat}/{repeats} {name}: {cost.cpu:.1f} CPU-s, {cost.wall:.1f} s, "
                    f"round 1 after {cost.first_round:.1f} s, {cost.warm:.2f} s/round",
                    file=sys.stderr,
                )
            except RuntimeError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                del costs[name]
    return costs


def table(costs: dict[str, list[Cost]]) -> str:
    """Return medians over the repeats, with the range of the processor time, as Markdown."""
    plain = statistics.median(cost.cpu for cost in costs["plain loop"])
    lines = ["| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, repeats in costs.items():
        cpu = [cost.cpu for cost in repeats]
        cells = [
            f"{statistics.median(cpu):.1f} ({min(cpu):.1f}–{max(cpu):.1f})",
            f"{statistics.median(cpu) / plain:.2f}",
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
    parser.add_argument("--peers", action="store_true", help="Flower's simulation too")
    arguments = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder) / "sites.npz", Path(folder) / "cache")
        commands = contestants(Path(folder), peers=arguments.peers)
        measure(commands["consilium, inline"]())  # files and byte code come from memory afterwards
        print(table(run_all(commands, arguments.repeats)))


if __name__ == "__main__":
    main()
