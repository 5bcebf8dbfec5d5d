"""A rollout of many hospitals over years, and everything that is made of it.

python benchmarks/long_rollout.py
python benchmarks/long_rollout.py --hospitals 100 --weeks 52

The hospitals only echo (``echo_hospitals``), so what is measured is messages, the server's part of
a round, virtual time, the files of the run, and the reading and drawing of them; with ``--direct``
the same without messages. In the first year hospitals go live one after the other; some miss
rounds, have an outage, send garbage, get a new scanner, or leave.

A folder that ``--folder`` names is kept, and only read if the run in it has ended.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from echo_hospitals import DirectGrid, app
from flwr.app import Context, RecordDict

from federated.answers import answers
from federated.config.study import Study, parse
from federated.config.writing import run_config_of
from federated.engine.grid import RUN_ID, SERVER_NODE
from federated.engine.inline import InlineGrid
from federated.plots import NothingToDrawError
from federated.plots.plot import Drawing
from federated.plots.style import save
from federated.report import summary_table, write_summary
from federated.report.gallery import drawings
from federated.runs.reading import Run, load
from server.app import app as server_app

FEW = 40
"""Rounds whose median is told: after as many at first, when half of the hospitals are live, and at
last."""


def settings(hospitals: int, weeks: int, methods: str) -> dict[str, Any]:
    """Return a scenario in which everything happens to some of the hospitals."""
    group = {"uplink": 5.0, "downlink": 20.0, "latency": 0.5, "cost-per-hour": 2.0}
    every = min(1.0, 52 / hospitals)
    tenth, rest = hospitals // 10, hospitals - 3 * (hospitals // 10)
    groups: dict[str, dict[str, Any]] = {
        "steady": {"count": rest, "every": every, "miss": 0.02},
        "disturbed": {
            "count": tenth,
            "outages": "60-62,200-203",
            "garbage": "100-101",
            "new-scanner": "150",
        },
        "leaving": {"count": tenth, "leave": str(weeks * 3 // 4)},
        "slow": {"count": tenth, "speed": 0.3, "miss": 0.1, "kilowatts": 0.4},
    }
    tables = {f"rollout.group.{name}": {**group, **facts} for name, facts in groups.items()}
    own = {
        f"{table}.{key}": value for table, facts in tables.items() for key, value in facts.items()
    }
    return {
        "methods": methods.split(","),
        "rounds": weeks,
        "phantom.sites": hospitals,
        "model.name": "convnet",
        "model.width": 0.125,
        "data.image-size": 32,
        "train.precision": "fp32",
        "rollout.start": "2026-01-05",
        "rollout.image-seconds": 1.0,
        **own,
    }


def simulate(study: Study, hospitals: int, *, direct: bool) -> None:
    """Run all rounds and print what they took, and for each method a round at either end."""
    rounds: dict[str, list[float]] = {method: [] for method in study.by_method}
    clock = [time.process_time()]

    def listen(event: Mapping[str, Any]) -> None:
        if event["kind"] in ("cell-started", "round-ended"):
            clock.append(time.process_time())
        if event["kind"] == "round-ended":
            rounds[event["method"]].append(clock[-1] - clock[-2])

    config, began = run_config_of(study), time.perf_counter()
    grid = (DirectGrid if direct else InlineGrid)(app, config, hospitals, listen)
    server_app(grid, Context(RUN_ID, SERVER_NODE, {}, RecordDict(), dict(config)))
    seconds, used = time.perf_counter() - began, clock[-1] - clock[0]
    count = sum(map(len, rounds.values()))
    print(f"{hospitals} hospitals, {count} rounds: {seconds:.0f} s, {used:.0f} CPU-s")
    for method, took in rounds.items():
        early, late = median(took[FEW : 2 * FEW] or took[:FEW]), median(took[-FEW:])
        print(f"{method}: CPU-s a round, median of {FEW}: {early:.3f} early, {late:.3f} at last")


def sizes(folder: Path) -> str:
    """Return the sizes of a run's files in MB, those of one kind together."""
    by_kind: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            kind = path.name if path.parent == folder else f"{path.parent.name}/*{path.suffix}"
            by_kind[kind] = by_kind.get(kind, 0) + path.stat().st_size
    return ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in by_kind.items() if size > 5e4)


def pieces(run: Run, pictures: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is made of a run, by name, in the order in which ``consilium report`` makes it."""
    yield "read metrics.csv", lambda: len(run.sites)
    yield "read events.jsonl", lambda: len(run.events)
    yield "read timeline.csv", lambda: len(run.timeline)
    yield "write metrics.parquet", lambda: run.write_parquet()
    for drawing in drawings(run):
        yield f"draw {drawing[0]}", partial(draw, drawing, pictures)
    for answer in answers():
        yield f"numbers {answer.name}", partial(answer.write_numbers, run)
        for table in answer.tables:
            yield f"table {answer.name}", partial(table.rows, run)
    yield "summary.html", lambda: write_summary(run, draw=False)
    yield "summary as text", lambda: summary_table(run)


def draw(drawing: Drawing, pictures: Path) -> list[Path]:
    """Draw a figure into a folder."""
    name, figure = drawing
    return save(figure(), pictures / name, ("png",))


def report(folder: Path) -> None:
    """Read and draw the run of a folder and print the seconds of each piece."""
    run, pictures = load(folder), folder / "plots"
    pictures.mkdir(exist_ok=True)
    began = time.perf_counter()
    for name, make in pieces(run, pictures):
        start, used = time.perf_counter(), time.process_time()
        try:
            made: object = make()
        except NothingToDrawError:
            continue
        count = f"  {made:,} rows" if isinstance(made, int) else ""
        print(
            f"{time.perf_counter() - start:7.2f} s {time.process_time() - used:7.2f} CPU-s  "
            f"{name}{count}",
            flush=True,
        )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.perf_counter() - began:7.2f} s in all; at most {most:.1f} GB of memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hospitals", type=int, default=1000)
    parser.add_argument("--weeks", type=int, default=520)
    parser.add_argument("--methods", default="local,fedbn")
    parser.add_argument("--direct", action="store_true", help="no messages: the server's own part")
    parser.add_argument("--folder", type=Path, help="of the run; kept, and only read if it is done")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch) / "run"
        given = settings(arguments.hospitals, arguments.weeks, arguments.methods)
        if not (folder / "metrics.csv").exists() or not load(folder).has_ended:
            study = parse({**given, "folder": str(folder)})
            simulate(study, arguments.hospitals, direct=arguments.direct)
        print(f"MB: {sizes(folder)}")
        report(folder)


if __name__ == "__main__":
    main()
