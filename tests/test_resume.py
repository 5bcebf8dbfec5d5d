"""Resumed equals never stopped, wherever it stopped."""

from pathlib import Path

import pandas as pd
import pytest
from flwr.app import Context, Message
from test_laws import numbers
from test_messages import load_with

from clients.app import app as client_app
from federated.engine import run
from federated.errors import UserError
from federated.runs.reading import load

MESSAGES = 3 + 2 * 3 * 3 + 3
"""Of a run of 3 sites and 3 rounds: registration, training and evaluation, last steps."""


class PowerCutError(BaseException):
    """Not an Exception: nothing in the client may catch it."""


def cut_after(count: int):
    left = [count]

    def client(message: Message, context: Context) -> Message:
        if left[0] == 0:
            raise PowerCutError
        left[0] -= 1
        return client_app(message, context)

    return client


def files(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".csv")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name != "metrics.csv"}


@pytest.mark.parametrize("count", [1, 5, 8, 10, 14, 20, MESSAGES - 1])
def test_resumed_is_uninterrupted(tiny, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "methods": "consilium",
        "rounds": 3,
        "train__optimizer_state": "keep",
        "personalise__epochs": 1,
        "server__optimizer": "momentum",
    }
    whole, cut = tiny("whole", **settings), tiny("cut", **settings)
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(count)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    expected, found = load(whole["folder"]), load(cut["folder"])
    pd.testing.assert_frame_equal(
        numbers(expected, "consilium"), numbers(found, "consilium"), check_exact=True
    )
    a, b = files(expected.folder), files(found.folder)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == b[name], name
    assert list(found.events["kind"]).count("round-ended") == 3


def test_a_second_cell_resumes_without_repeating_the_first(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (tiny(name, methods="fedavg,moon") for name in ("whole", "cut"))
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(3 + 15 + 7)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    for method in ("fedavg", "moon"):
        expected, found = (numbers(load(g["folder"]), method) for g in (whole, cut))
        pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tiny) -> None:
    whole, cut = tiny("whole", rounds=3), tiny("cut", rounds=3)
    run(whole)
    run(cut)
    cell = Path(cut["folder"]) / "fedavg" / "seed-0"
    last = cell / "round-000003.safetensors"
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    run(cut)
    assert files(Path(whole["folder"])) == files(Path(cut["folder"]))
    expected, found = (numbers(load(g["folder"]), "fedavg") for g in (whole, cut))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_a_finished_run_stays_as_it_is(tiny) -> None:
    given = tiny()
    run(given)
    before = files(Path(given["folder"]))
    metrics = (Path(given["folder"]) / "metrics.csv").read_bytes()
    run(given)
    assert files(Path(given["folder"])) == before
    assert (Path(given["folder"]) / "metrics.csv").read_bytes() == metrics


def test_another_run_is_refused_the_folder(tiny) -> None:
    run(tiny(rounds=1))
    with pytest.raises(UserError, match="holds a run with other settings"):
        run(tiny(rounds=2))
