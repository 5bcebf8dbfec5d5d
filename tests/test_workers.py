"""Batches of sites on Ray workers: the same bits whoever works, dies, leaves or hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from federated.engine.grid import FIRST_SITE_NODE, LocalGrid
from federated.engine.inline import InlineGrid
from federated.errors import UserError
from federated.exchange.replies import Refusal, Reply, Results
from federated.exchange.request import Request
from federated.exchange.sharing import Boundary, Release, TensorSpec
from federated.exchange.wire import (
    Order,
    Report,
    pack_groups,
    pack_reply,
    unpack_order,
    unpack_tensors,
)
from server.bounding import weight_of

SITES = 60
BOUNDARY = Boundary((TensorSpec("weights/w", (500,), "float32"),), ())
hospital = ClientApp()


@hospital.train()
def train(message: Message, context: Context) -> Message:
    """Release what depends on site and weights; ``folder`` says what else happens, and to whom."""
    order = unpack_order(message)
    number = int(context.node_config["partition-id"])
    misbehave(order.folder, number)
    weights = unpack_tensors(message.content, BOUNDARY)["weights/w"]
    noise = np.random.default_rng(number).normal(0, 1 + number % 5, 500).astype(np.float32)
    if order.folder == "nan" and number == 7:
        noise[3] = np.nan
    report = Report(order.site, "train", "current", number + 1, {"steps": 1, "images_seen": number})
    return pack_reply(message, Release({"weights/w": weights + torch.tensor(noise)}), [report])


def misbehave(folder: str, number: int) -> None:
    what, _, marker = folder.partition(":")
    if what == "die" and number == 31 and not Path(marker).exists():
        if Path(marker).parent.exists():
            Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "crash" and number == 31:
        raise RuntimeError("patient-17.png")
    if what == "hang" and number == 31 and not Path(marker).exists():
        if Path(marker).parent.exists():
            Path(marker).touch()
        time.sleep(60)
    if what == "slow":
        node = ray.get_runtime_context().get_node_id()
        (Path(marker) / node).write_text(str(os.getpid()))
        time.sleep(0.05)


def ask(grid: LocalGrid, folder: str = "", *, summed: bool = True, timeout: float = 60) -> Results:
    weights = {"weights/w": np.linspace(-1, 1, 500, dtype=np.float32)}
    request = Request(
        "train", pack_groups(weights), BOUNDARY, summed, by_examples=True, by_length=True
    )
    orders = [
        (FIRST_SITE_NODE + k, Order("m", 0, 1, f"site-{k:02d}", folder, "")) for k in range(SITES)
    ]
    return grid.send_and_sum(request, orders, timeout)


def bits(results: Results) -> tuple[object, ...]:
    """Return all that a result holds, arrays as bytes."""
    assert results.total
    sums = [
        (k, total.weight, name, *(part.tobytes() for part in two))
        for k, total in results.total.items()
        for name, two in total.parts.items()
    ]
    return sums, results.by_order


@contextmanager
def ray_grid(**options: Any) -> Iterator[Any]:
    from federated.engine.ray.grid import RayGrid

    settings = {"workers": 2, "threads": 1, "gpus": 0, "address": "", "retries": 1, "patience": 300}
    grid = RayGrid("test_workers:hospital", {}, SITES, **{**settings, **options})
    try:
        yield grid
    finally:
        grid.close()


@pytest.fixture
def expected() -> tuple[object, ...]:
    return bits(ask(InlineGrid(hospital, {}, SITES)))


def test_a_sum_along_the_way_is_the_sum_of_the_releases(expected: tuple[object, ...]) -> None:
    from federated.exchange.lengths import Accumulators, class_of

    kept = ask(InlineGrid(hospital, {}, SITES), summed=False)
    assert not kept.total
    sums = Accumulators()
    for reply in reversed(kept.by_order):
        assert isinstance(reply, Reply)
        assert reply.length > 0
        sums.of(class_of(reply.length)).include(reply.arrays, reply.num_examples)
    totals = sums.total()
    assert len(totals) > 3
    again = Results(ask(InlineGrid(hospital, {}, SITES)).by_order, totals)
    assert bits(again) == expected


def test_a_bad_release_is_left_out_of_the_sum() -> None:
    found = ask(InlineGrid(hospital, {}, SITES), "nan")
    assert found.by_order[7] == Refusal("its weights/w holds a value that is not finite")
    assert weight_of(found.total) == SITES * (SITES + 1) // 2 - 8


@pytest.mark.ray
def test_workers_and_batches_change_no_bit(
    expected: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[dict[str, Any]] = []
    with ray_grid(listener=lambda event: events.append(dict(event))) as grid:
        assert bits(ask(grid)) == expected
        started = [e["node"] for e in events if e["kind"] == "site-started"]
        ended = [e["node"] for e in events if e["kind"] == "site-ended"]
        assert sorted(started) == sorted(ended) == list(grid.get_node_ids())
        one, two = (ask(g, summed=False) for g in (grid, InlineGrid(hospital, {}, SITES)))
        assert [a.arrays["weights/w"].tobytes() for a in one.by_order] == [
            a.arrays["weights/w"].tobytes() for a in two.by_order
        ]
        # A worker is killed amid a batch, holding the sum of the batches before.
        events.clear()
        assert bits(ask(grid, f"die:{tmp_path / 'once'}")) == expected
        assert (tmp_path / "once").exists()
        assert "worker-lost" in [e["kind"] for e in events]
        # Every batch hands its sum over.
        monkeypatch.setattr("federated.engine.ray.dispatch.HAND_OVER_SECONDS", 0.0)
        assert bits(ask(grid)) == expected


@pytest.mark.ray
def test_only_the_guilty_site_is_refused(expected: tuple[object, ...], tmp_path: Path) -> None:
    with ray_grid(retries=1) as grid:
        # One that hangs once, be it alone or in a batch, answers on a fresh worker.
        assert bits(ask(grid, f"hang:{tmp_path / 'once'}", timeout=12)) == expected
        assert (tmp_path / "once").exists()
        for folder, timeout, reason in [
            ("die:/nowhere/marker", 60, "its worker died 2 times"),
            ("crash", 60, "it crashed outside its own error handling"),
            ("hang:/nowhere/marker", 12, "no answer within 12 s from any of 2 workers"),
        ]:
            found = ask(grid, folder, timeout=timeout)
            assert found.by_order[31] == Refusal(reason)
            refused = [result for result in found.by_order if isinstance(result, Refusal)]
            assert len(refused) == 1
            assert weight_of(found.total) == SITES * (SITES + 1) // 2 - 32


@pytest.mark.ray
def test_workers_that_cannot_start_are_one_sentence() -> None:
    with pytest.raises(UserError, match="in a row died while starting"), ray_grid() as grid:
        grid._pool._arguments = ("no_such_module:app", 1, {}, SITES)
        ask(grid, "die:/nowhere/marker")


@pytest.mark.ray
def test_a_node_that_leaves_changes_no_bit(expected: tuple[object, ...], tmp_path: Path) -> None:
    """Two nodes with a worker each; all of the second one is killed in the middle of a round."""
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    leaving = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    events: list[str] = []

    def listen(event: Any) -> None:
        events.append(event["kind"])
        if event["kind"] == "site-ended" and events.count("site-ended") == 20:
            assert len(list(tmp_path.iterdir())) == 2
            cluster.remove_node(leaving, allow_graceful=False)
            # Without its raylet a worker lives on for a second, in which it may finish the round.
            with suppress(ProcessLookupError):
                os.kill(int((tmp_path / leaving.node_id).read_text()), signal.SIGKILL)

    try:
        with ray_grid(address=cluster.address, listener=listen) as grid:
            ray.get([worker.actor.ready.remote() for worker in grid._pool.workers], timeout=60)
            assert bits(ask(grid, f"slow:{tmp_path}")) == expected
            assert "worker-lost" in events
            assert bits(ask(grid)) == expected
    finally:
        cluster.shutdown()


LOSES_ITS_RAYLET = """
import sys
sys.path.insert(0, {tests!r})
from ray._private import worker
from test_workers import UserError, ask, ray_grid
with ray_grid() as grid:
    ask(grid)
    [raylet] = worker._global_node.all_processes["raylet"]
    raylet.process.kill()
    raylet.process.wait()
    for again in (lambda: ask(grid), lambda: grid.deliver([], None)):
        try:
            again()
        except UserError as error:
            print(error)
"""


@pytest.mark.ray
def test_a_ray_that_has_ended_is_said_to_have_before_anything_is_put_into_it() -> None:
    # Ray ends a process that puts something into an object store that is gone: not this one.
    code = LOSES_ITS_RAYLET.format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    sentence = "Ray's raylet ended in the middle of the run; it was killed, or memory ran out."
    told = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(told) == 2 and all(line.startswith(sentence) for line in told)
