"""The engines: the same bits inline and on Ray, and the one touch of Flower's inside."""

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity
from test_laws import numbers

from federated.engine import run
from federated.engine.grid import enter_task, give_id
from federated.engine.inline import InlineGrid
from federated.runs.reading import Run, load

echo = ClientApp()


@echo.query()
def echo_query(message: Message, context: Context) -> Message:
    """Answer with the node's own number, and die first if told to."""
    order = message.content.config_records.get("die", ConfigRecord())
    marker = Path(str(order.get("once", "")))
    if order and not marker.exists() and context.node_config["partition-id"] == order["who"]:
        marker.parent.exists() and marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    number = int(context.node_config["partition-id"])
    return Message(RecordDict({"n": MetricRecord({"n": number})}), reply_to=message)


def orders(nodes: Iterable[int], **die: str | int) -> list[Message]:
    content = {"die": ConfigRecord(dict(die))} if die else {}
    return [Message(RecordDict(dict(content)), node, "query") for node in nodes]


def answered(replies: Iterable[Message]) -> list[int]:
    return [int(reply.content.metric_records["n"]["n"]) for reply in replies]


def test_flowers_inside_is_where_we_touch_it() -> None:
    """Message needs TaskIdentity, and its id is set through the metadata's dictionary."""
    enter_task()
    assert (TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id) == (1, 1, 1)
    message = Message(RecordDict(), 5, "query")
    give_id(message, "abc")
    reply = Message(RecordDict(), reply_to=message)
    assert message.metadata.message_id == "abc"
    assert reply.metadata.reply_to_message_id == "abc"
    assert reply.metadata.src_node_id == 5


def test_inline_replies_are_in_the_order_of_the_messages() -> None:
    grid = InlineGrid(echo, {}, 5)
    nodes = list(grid.get_node_ids())
    assert answered(grid.send_and_receive(orders(reversed(nodes)))) == [4, 3, 2, 1, 0]


def test_push_and_pull_give_each_reply_once() -> None:
    grid = InlineGrid(echo, {}, 3)
    ids = list(grid.push_messages(orders(grid.get_node_ids())))
    assert answered(grid.pull_messages(ids[:2])) == [0, 1]
    assert answered(grid.pull_messages(ids)) == [2]


def comparable(run: Run) -> dict[str, pd.DataFrame]:
    return {method: numbers(run, method) for method in run.study.common.methods}


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_bits_of_inline(tiny, run_tiny, workers: int) -> None:
    methods = "local,consilium,moon,pooled"
    inline = run_tiny("inline", methods=methods, personalise__epochs=1)
    ray = run_tiny(
        "ray",
        methods=methods,
        personalise__epochs=1,
        engine__kind="ray",
        engine__workers=workers,
    )
    expected, found = comparable(inline), comparable(ray)
    for method in expected:
        pd.testing.assert_frame_equal(expected[method], found[method], check_exact=True)
    for path in inline.folder.glob("*/seed-0/*.safetensors"):
        other = ray.folder / path.relative_to(inline.folder)
        assert path.read_bytes() == other.read_bytes(), path
    for path in inline.folder.glob("sites/**/*.safetensors"):
        other = ray.folder / path.relative_to(inline.folder)
        assert path.read_bytes() == other.read_bytes(), path


@pytest.mark.ray
def test_a_worker_that_dies_is_replaced_and_its_site_tried_again(tmp_path: Path) -> None:
    from federated.engine.ray.grid import RayGrid

    events: list[str] = []
    grid = RayGrid(
        "test_engine:echo",
        {},
        4,
        workers=2,
        threads=1,
        gpus=0,
        address="",
        retries=1,
        patience=60,
        listener=lambda event: events.append(event["kind"]),
    )
    try:
        nodes = list(grid.get_node_ids())
        once = tmp_path / "died"
        assert answered(grid.send_and_receive(orders(nodes, who=2, once=str(once)))) == [0, 1, 2, 3]
        assert once.exists() and events.count("worker-lost") == 1
        assert answered(grid.send_and_receive(orders(nodes))) == [0, 1, 2, 3]
        # A site that kills every worker is given up after its retries, and only that site.
        never = tmp_path / "none" / "never"
        replies = list(grid.send_and_receive(orders(nodes, who=1, once=str(never))))
    finally:
        grid.close()
    assert [reply.has_error() for reply in replies] == [False, True, False, False]
    assert "died" in str(replies[1].error.reason)


@pytest.mark.ray
def test_an_address_without_a_cluster_is_one_sentence(tiny) -> None:
    from federated.errors import UserError

    with pytest.raises(UserError, match="no Ray cluster answers"):
        run(tiny(engine__kind="ray", engine__address="127.0.0.1:1"))


def test_load_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    from federated.errors import UserError

    with pytest.raises(UserError, match="holds no run"):
        load(tmp_path)


def test_fewer_nodes_than_sites_give_the_same_bits(tiny, run_tiny) -> None:
    """`flwr run` starts two nodes by default; each then hosts several sites."""
    from flwr.app import RecordDict as Records

    from clients.app import app as client_app
    from federated.config.keys import plain
    from server.app import app as server_app

    expected = run_tiny("one-each", methods="consilium")
    given = tiny("two-nodes", methods="consilium")
    settings = {key: plain(value) for key, value in given.items()}
    grid = InlineGrid(client_app, settings, 2)
    server_app(grid, Context(1, 1, {}, Records(), settings))
    found = load(given["folder"])
    pd.testing.assert_frame_equal(
        numbers(expected, "consilium"), numbers(found, "consilium"), check_exact=True
    )
