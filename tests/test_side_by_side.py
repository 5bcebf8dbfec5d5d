"""Cells side by side give what one after the other gives, also cut off and resumed."""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flwr.app import Context, Message
from test_interrupt import begin, wait_for
from test_laws import numbers
from test_messages import load_with
from test_resume import PowerCutError, cut_after, files
from torch import nn

from clients.app import app as client_app
from federated.commands.display import Display
from federated.config import parse
from federated.config.schema import Config
from federated.engine import run
from federated.engine.inline import InlineGrid
from federated.exchange.wire import unpack_order
from federated.learning.network import network_of
from federated.runs.reading import load
from server.cell import RunStoppedError
from server.record import Record

CELLS = {
    "methods": "local,consilium",
    "seeds": "0,1",
    "personalise__epochs": 1,
    "phantom__sites": 2,
}


TURN = threading.RLock()


class TurnsGrid(InlineGrid):
    """Serves three cells at a time in one process: their requests take turns."""

    lanes = 3
    most = 0

    def beside(self, cells: int) -> None:
        TurnsGrid.most = max(TurnsGrid.most, cells)

    def send_and_sum(self, *arguments: Any) -> Any:
        with TURN:
            return super().send_and_sum(*arguments)


def network_in_turn(config: Config, seed: int) -> nn.Module:
    """Make the server's network while no client, which is elsewhere on Ray, uses torch's seed."""
    with TURN:
        return network_of(config, seed)


@pytest.fixture
def in_turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("federated.engine.inline.InlineGrid", TurnsGrid)
    monkeypatch.setattr("server.app.network_of", network_in_turn)
    TurnsGrid.most = 0
    yield
    assert TurnsGrid.most >= 3


def in_any_order(contents: Mapping[str, bytes]) -> dict[str, object]:
    """Return files' contents, of the server's list of what it received its lines, sorted."""
    return {
        name: sorted(content.splitlines()) if name == "received.csv" else content
        for name, content in contents.items()
    }


def assert_same(one: Mapping[str, str], other: Mapping[str, str]) -> None:
    expected, found = load(one["folder"]), load(other["folder"])
    for method in expected.study.common.methods:
        pd.testing.assert_frame_equal(
            numbers(expected, method), numbers(found, method), check_exact=True
        )
    assert in_any_order(files(expected.folder)) == in_any_order(files(found.folder))
    kinds = [list(one.events["kind"]) for one in (expected, found)]
    for kind in ("round-ended", "cell-ended", "run-ended"):
        assert kinds[0].count(kind) == kinds[1].count(kind), kind


def test_side_by_side_is_one_after_the_other_also_resumed(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, beside, cut = (tiny(name, **CELLS) for name in ("whole", "beside", "cut"))
    run(whole)
    monkeypatch.setattr("federated.engine.inline.InlineGrid", TurnsGrid)
    monkeypatch.setattr("server.app.network_of", network_in_turn)
    run(beside)
    assert_same(whole, beside)
    assert TurnsGrid.most >= 3
    for count in (15, 12):
        with monkeypatch.context() as patch:
            patch.setattr("federated.engine.running.load_app", load_with(cut_after(count)))
            with pytest.raises(PowerCutError):
                run(cut)
        with (Path(cut["folder"]) / "metrics.csv").open("a") as file:
            file.write("local,1,2,phantom-1,va")  # as a loss of power may leave it
    run(cut)
    assert_same(whole, cut)


def failing(message: Message, context: Context) -> Message:
    """Fail all of FedAvg with seed 0."""
    order = unpack_order(message)
    if (order.method, order.seed) == ("fedavg", 0) and order.round == 2:
        raise RuntimeError
    return client_app(message, context)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_cell_that_stops_stops_no_other(
    tiny: Any, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    study = {"methods": "fedavg,fedbn", "seeds": "0,1", "phantom__sites": 2}
    given, whole = tiny(**study), tiny("whole", **study)
    events: list[dict[str, Any]] = []
    with monkeypatch.context() as patch:
        patch.setattr("federated.engine.inline.InlineGrid", TurnsGrid)
        patch.setattr(TurnsGrid, "lanes", lanes)
        patch.setattr("server.app.network_of", network_in_turn)
        patch.setattr("federated.engine.running.load_app", load_with(unkind(failing)))
        with pytest.raises(RunStoppedError, match="fedavg, seed 0, round 2: 0 of 2 sites"):
            run(given, lambda event: events.append(dict(event)))
    stopped = [(e["method"], e["seed"]) for e in events if e["kind"] == "cell-stopped"]
    ended = [(e["method"], e["seed"]) for e in events if e["kind"] == "cell-ended"]
    assert stopped == [("fedavg", 0)]
    assert sorted(ended) == [("fedavg", 1), ("fedbn", 0), ("fedbn", 1)]
    run(given)
    run(whole)
    assert_same(whole, given)


def unkind(client: Any) -> Any:
    """Return a client whose failure is a reply, as a hospital's is."""

    def handle(message: Message, context: Context) -> Message:
        from flwr.app import Error

        try:
            return client(message, context)
        except RuntimeError:
            return Message(Error(0, "it failed"), reply_to=message)

    return handle


def test_what_a_listener_raises_stops_every_cell(tiny: Any, in_turns: None) -> None:
    given, home = tiny(**CELLS), threading.get_ident()

    def listen(event: Mapping[str, Any]) -> None:
        assert threading.get_ident() == home
        if event["kind"] == "round-ended" and event["round"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(given, listen)
    assert [thread for thread in threading.enumerate() if thread.name.startswith("(")] == []


def test_each_cell_takes_back_its_own_rows_only(tmp_path: Path) -> None:
    record = Record(tmp_path)
    (tmp_path / "metrics.csv").write_text(
        "method,seed,round,site,split,model,metric,value,num_examples\n"
    )
    first, second = ("a", 1), ("a", 11)
    record.emit("round-ended", first, round=1)
    sizes = record.sizes(first)
    record.emit("site-registered", site='"method": "a", "seed": 1}')
    record.emit("round-ended", second, round=1)
    record.emit("round-ended", first, round=2)
    record.emit("round-ended", second, round=2)
    before = (tmp_path / "events.jsonl").read_text().splitlines()
    Record(tmp_path).take_back(first, sizes)
    assert (tmp_path / "events.jsonl").read_text().splitlines() == before[:3] + before[4:]


def test_the_live_table_has_a_bar_and_a_column_for_each_cell_at_work() -> None:
    from rich.console import Console

    display = Display(parse({"methods": "fedavg,fedbn", "rounds": "4"}), ("north", "south"))
    for method, auc in (("fedavg", 0.25), ("fedbn", 0.75)):
        cell = {"method": method, "seed": 0}
        display.take({"kind": "cell-started", **cell, "rounds": 4, "after": 0})
        aucs = {"north": auc, "south": None}
        ended = {"kind": "round-ended", "round": 1, "images": 8, "seconds": 1, "val_auc": aucs}
        display.take({**cell, **ended})
    console = Console(width=120)

    def shown() -> str:
        with console.capture() as found:
            console.print(display)
        return found.get()

    text = shown()
    assert "2/10" in text and text.count("1/4") == 2  # the last steps of a cell count as a round
    assert "0.250" in text and text.count("0.750") == 2  # now, and best
    first = {"method": "fedavg", "seed": 0}
    display.take({"kind": "last-steps-started", **first, "sites": 2})
    assert "fedavg, seed 0, last steps" in shown()
    display.take({"kind": "cell-ended", **first})
    assert list(display.auc) == [("fedbn", 0)] and "3/10" in shown()


def test_before_the_first_round_the_live_table_says_what_is_waited_for() -> None:
    from rich.console import Console

    console = Console(width=120)
    display = Display(parse({"methods": "fedavg", "engine.kind": "ray"}), ("north",))
    with console.capture() as shown:
        console.print(display)
    assert "starting Ray and asking the hospitals" in shown.get()


@pytest.mark.ray
def test_cells_on_ray_killed_and_resumed_give_the_same_bits(tiny: Any, tmp_path: Path) -> None:
    settings = {**CELLS, "rounds": 6, "engine__kind": "ray", "engine__workers": 2}
    cut, whole = tiny("cut", **settings), tiny("whole", **{**settings, "engine__kind": "inline"})
    process = begin(cut, str(tmp_path))
    events = Path(cut["folder"]) / "events.jsonl"

    def two_are_at_work() -> bool:
        text = events.read_text() if events.exists() else ""
        return text.count("cell-started") > text.count("cell-ended") + 1 and "round-ended" in text

    assert wait_for(two_are_at_work, 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    run(cut)
    run(whole)
    for method in ("local", "consilium"):
        expected, found = (numbers(load(g["folder"]), method) for g in (whole, cut))
        pd.testing.assert_frame_equal(expected, found, check_exact=True)
    expected_files, found_files = (files(Path(given["folder"])) for given in (whole, cut))
    assert in_any_order(expected_files) == in_any_order(found_files)
