"""What a person sees while a run runs; what nobody sees ends no run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from clients.app import app
from federated.commands.display import Display
from federated.commands.ending import Unheard
from federated.config import parse
from federated.engine.grid import FIRST_SITE_NODE
from federated.exchange.actions import DOING, Action


def test_the_client_app_handles_the_listed_actions_and_no_others() -> None:
    handled = {
        kind if name == "default" else f"{kind}.{name}"
        for kind, names in _handlers().items()
        for name in names
    }
    assert handled == {str(action) for action in Action} == set(DOING)


def _handlers() -> dict[str, list[str]]:
    """Return the names of the ClientApp's handlers by kind, which Flower keeps to itself."""
    names: dict[str, list[str]] = {}
    for key in vars(app)["_registered_funcs"]:
        kind, _, name = key.partition(".")
        names.setdefault(kind, []).append(name or "default")
    return names


@pytest.mark.parametrize("action", Action)
def test_the_live_table_shows_each_action(action: Action) -> None:
    display = Display(parse({"methods": "fedavg"}), ("A", "B"))
    event = {"node": FIRST_SITE_NODE + 1, "action": str(action)}
    display.take({"kind": "site-started", **event})
    console = Console(width=120)
    with console.capture() as shown:
        console.print(display)
    assert DOING[action] in shown.get()
    display.take({"kind": "site-ended", **event})
    assert display.now("B") == ""


def test_a_stream_that_nobody_reads_is_silent_from_then_on(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        unheard = Unheard(stream)
        for _ in range(3):
            print("to nobody", file=unheard, flush=True)
        assert Path(f"/dev/fd/{writer}").readlink() == Path(os.devnull)


@pytest.mark.parametrize(
    ("words", "stream"),
    [([], "stderr"), pytest.param(["--json"], "stdout", marks=pytest.mark.slow)],
)
def test_nobody_listening_ends_no_run(tiny, words: list[str], stream: str) -> None:
    given = tiny(rounds=1)
    settings = [f"{key}={value}" for key, value in given.items()]
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "federated.commands.main", "run", *settings, "--no-report"]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: writer}
    done = subprocess.run([*command, *words], **streams, check=False)
    os.close(writer)
    assert done.returncode == 0
    events = (Path(given["folder"]) / "events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["kind"] == "run-ended"
