"""The server beside its rules: any grid, pooled training's one order, settings read once."""

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from test_messages import Tap, load_with

from clients.app import app as client_app
from federated.config import writing
from federated.engine import run
from federated.engine.inline import InlineGrid
from federated.errors import UserError
from federated.exchange.wire import ALL_SITES, unpack_order
from federated.runs.reading import load
from server.app import app as server_app
from server.grids import ByMessages, summing


class Courier:
    """A grid that can do nothing but pass messages on."""

    def __init__(self, grid: InlineGrid) -> None:
        self.get_node_ids = grid.get_node_ids
        self.push_messages, self.pull_messages = grid.push_messages, grid.pull_messages


def saved(folder: str) -> dict[str, bytes]:
    """Return every tensor file of a run."""
    return {p.name: p.read_bytes() for p in Path(folder).glob("*/seed-0/*.safetensors")}


def test_a_grid_that_only_passes_messages_on_gives_the_same_bits(tiny: Any) -> None:
    ours, theirs = tiny("ours", methods="consilium"), tiny("theirs", methods="consilium")
    run(ours)
    grid = InlineGrid(client_app, theirs, 3)
    assert summing(grid) is grid
    courier: Any = Courier(grid)
    assert isinstance(summing(courier), ByMessages)
    server_app(courier, Context(1, 1, {}, RecordDict(), theirs))
    assert saved(ours["folder"]) == saved(theirs["folder"])


def test_pooled_training_is_one_order_and_every_site_reports(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = Tap()
    monkeypatch.setattr("federated.engine.running.load_app", load_with(tap))
    given = tiny(methods="pooled")
    run(given)
    orders: dict[str, list[str]] = {}
    for message in tap.down:
        orders.setdefault(message.metadata.message_type, []).append(unpack_order(message).site)
    assert orders == {
        "query.register": [""] * 3,
        "train": [ALL_SITES] * 2,
        "evaluate": [ALL_SITES] * 2,
        "train.finish": [ALL_SITES],
    }
    metrics = load(given["folder"]).metrics
    trained = metrics.query("metric == 'steps' and round == 1")
    assert sorted(trained["site"]) == ["phantom-1", "phantom-2", "phantom-3"]
    # What travels is counted once, and its weight is that of all sites.
    travelled = metrics.query("metric == 'bytes_up' and round == 1")
    assert list(travelled["site"]) == ["phantom-1"]
    assert list(travelled["num_examples"]) == [trained["num_examples"].sum()]


def test_without_a_rollout_there_is_no_virtual_time(tiny: Any) -> None:
    given = tiny()
    run(given)
    folder = Path(given["folder"])
    facts = json.loads((folder / "fedavg/seed-0/round-000002.json").read_text())["facts"]
    standing = facts["standing"]
    assert (standing["arrival"], standing["free"], standing["waiting"]) == ({}, {}, [])
    kinds = set(load(folder).events["kind"])
    assert not {kind for kind in kinds if kind.startswith("hospital")}
    assert "week" not in load(folder).events.columns
    assert not (folder / "timeline.csv").exists()


def test_server_and_sites_of_a_process_read_the_settings_once(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, parse = [], writing.parse
    monkeypatch.setattr(writing, "parse", lambda given: reads.append(given) or parse(given))
    run(tiny(rounds=1))
    assert len(reads) == 1


def test_a_setting_is_not_confused_with_an_equal_one_of_another_type() -> None:
    assert writing.study_from({"train.augment": True}).by_method["consilium"].train.augment
    with pytest.raises(UserError, match=r"rounds"):
        writing.study_from({"rounds": True})
    assert writing.study_from({"rounds": 1}).by_method["consilium"].rounds == 1


def test_a_failing_pooled_round_names_no_site(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: Message, context: Context) -> Message:
        if message.metadata.message_type == "train":
            message.content["order"]["method"] = "other"
        return client_app(message, context)

    monkeypatch.setattr("federated.engine.running.load_app", load_with(broken))
    with pytest.raises(UserError, match=r"0 of 1 sites answered well.*\(all sites\): it"):
        run(tiny(methods="pooled"))
