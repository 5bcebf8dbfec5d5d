"""What a round costs beside the training: sites that only send back the weights they got.

python benchmarks/overhead.py
python benchmarks/overhead.py --rounds 10 --workers 4

Each row is a round of ``server.asking.ask`` on the Ray grid, checks and exact sum included; beside
it the same round by plain Flower messages, as on a foreign grid, so that their ratio compares two
ways of one run on one machine. CPU is that of all processes; memory is this process's, above what
it held before the first round.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from processes import cpu_seconds, resident_mb

from federated.config.schema import Config
from federated.engine.grid import FIRST_SITE_NODE
from federated.engine.ray.grid import RayGrid
from federated.exchange.exact import ExactSum
from federated.exchange.sharing import Boundary, Release, TensorSpec
from federated.exchange.wire import Order, Report, pack_groups, pack_reply, unpack_order
from federated.rollout.scenario import scenario_of
from server.advice import Advice
from server.asking import ask
from server.cell import Cell
from server.grids import ByMessages, SummingGrid
from server.record import Record

CASES = ((1_000, 1_000), (10_000, 1_000), (200, 2_600_000))
"""Sites, and float32 numbers of the model."""
METRICS = ("loss", "cross_entropy", "gradient_norm", "steps", "images_seen", "seconds")

app = ClientApp()


@app.train()
def echo(message: Message, context: Context) -> Message:
    """Send the weights back, and a report as training does."""
    order = unpack_order(message)
    report = Report(order.site, "train", "current", 100, dict.fromkeys(METRICS, 1.0))
    reply = pack_reply(message, Release({}), [report])
    reply.content["weights"] = message.content["weights"]
    return reply


@contextmanager
def echo_grid(sites: int, workers: int) -> Iterator[RayGrid]:
    grid = RayGrid(
        "overhead:app",
        {},
        sites,
        workers=workers,
        threads=1,
        gpus=0,
        address="",
        retries=0,
        patience=120,
    )
    try:
        yield grid
    finally:
        grid.close()


def cell_of(grid: SummingGrid, sites: int, size: int, folder: Path) -> Cell:
    """Return a cell whose model is one tensor of ``size`` numbers."""
    names = [f"site-{number:05d}" for number in range(sites)]
    nodes = {name: FIRST_SITE_NODE + k for k, name in enumerate(names)}
    boundary = Boundary((TensorSpec("weights/w", (size,), "float32"),), ())
    initial = {"weights/w": np.random.default_rng(0).normal(size=size).astype(np.float32)}
    everyone = scenario_of(Config().rollout, (), list(nodes))
    images = dict.fromkeys(nodes, 100)
    record = Record(folder)
    return Cell(
        grid=grid,
        record=record,
        config=Config(),
        method="fedavg",
        seed=0,
        nodes=nodes,
        boundary=boundary,
        advice=Advice(folder, record.run),
        initial=initial,
        scenario=everyone,
        train_images=images,
    )


def one_round(cell: Cell, number: int) -> ExactSum:
    """Ask all sites and return the sum."""
    orders: list[Order] = [cell.order(site, number) for site in cell.nodes]
    sent = pack_groups(dict(cell.initial))
    (total,) = ask(cell, "train", orders, sent, summed=True).total.values()
    assert np.array_equal(total.mean()["weights/w"].astype(np.float32), cell.initial["weights/w"])
    return total


def measure(cell: Cell, rounds: int) -> tuple[list[float], list[float]]:
    """Return seconds and CPU-seconds of rounds, the first not counted."""
    one_round(cell, 0)
    seconds, cpu = [], []
    for number in range(1, rounds + 1):
        start, used = time.perf_counter(), cpu_seconds()
        one_round(cell, number)
        seconds.append(time.perf_counter() - start)
        cpu.append(cpu_seconds() - used)
    return seconds, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print("sites   model MB  best s  median s  CPU s  driver MB  plain s  ratio")
    for sites, size in CASES:
        with echo_grid(sites, arguments.workers) as grid, tempfile.TemporaryDirectory() as folder:
            cell = cell_of(grid, sites, size, Path(folder))
            before = resident_mb()
            seconds, cpu = measure(cell, arguments.rounds)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
            plain, _ = measure(cell_of(ByMessages(grid), sites, size, Path(folder)), 1)
            print(
                f"{sites:6d}  {size * 4 / 1e6:8.3f}  {min(seconds):6.2f}  {median(seconds):8.2f}  "
                f"{min(cpu):5.2f}  {grown:9.0f}  {plain[0]:7.2f}  {plain[0] / min(seconds):4.1f}x"
            )


if __name__ == "__main__":
    main()
