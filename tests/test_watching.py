"""A run as its events tell it, live or after its end."""

import json
from pathlib import Path

import pytest

from federated.commands.folders import sparkline, state_of
from federated.commands.following import Followed, Tail
from federated.commands.forecast import duration
from federated.commands.main import main
from federated.runs.folder import RunFolder
from federated.runs.lock import locked


def event(kind: str, **facts: object) -> dict[str, object]:
    return {"time": "2026-01-05T10:00:00+00:00", "kind": kind, **facts}


CELL = {"method": "fedbn", "seed": 3}
EVENTS = [
    event("site-registered", site="north", num_examples=40),
    event("site-registered", site="south", num_examples=9),
    event("cell-started", **CELL, rounds=4, after=0),
    event("cell-started", method="local", seed=3, rounds=4, after=0),
    event("round-started", **CELL, round=1, sites=["north", "south"]),
    event("site-failed", **CELL, round=1, site="south", action="train", reason="its disk is full"),
    event("round-ended", **CELL, round=1, seconds=2.0, images=40, val_auc={"north": 0.75}),
    event("round-started", **CELL, round=2, sites=["north"]),
    event("round-ended", **CELL, round=2, seconds=4.0, images=80, val_auc={"north": None}),
    event("round-started", **CELL, round=3, sites=["north", "south"]),
]


def followed(events: list[dict[str, object]]) -> Followed:
    run = Followed()
    for one in events:
        run.take(one)
    return run


def test_events_add_up_by_cell() -> None:
    run = followed(EVENTS)
    cell = run.cells["fedbn", 3]
    assert (cell.done, cell.rounds, cell.busy) == (2, 4, ("north", "south"))
    assert cell.auc == {"north": [0.75, None]}
    assert run.cells["local", 3].done == 0
    assert run.sites == {"north": 40, "south": 9}
    assert run.seconds_a_round == 3.0
    assert run.images_a_second == 20.0
    assert run.warnings == ["south was left out (fedbn, seed 3, round 1): its disk is full"]
    stopped = event("cell-stopped", **CELL, reason="too few sites")
    assert followed([*EVENTS, stopped]).warnings[-1] == "fedbn, seed 3: too few sites"
    assert not run.has_ended and followed([*EVENTS, event("run-ended")]).has_ended


def test_a_tail_yields_every_line_once_and_no_half_written_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert list(tail.new()) == []
    lines = [json.dumps(one) + "\n" for one in EVENTS]
    text, seen = "".join(lines), []
    for cut in range(0, len(text) + 37, 37):
        path.write_text(text[:cut])
        seen += list(tail.new())
    assert seen == EVENTS
    path.write_text(lines[0])
    assert tail.shrunk()  # a resumed run took the rest back


def test_the_state_is_that_of_the_lock_and_of_the_last_event(tmp_path: Path) -> None:
    files, run = RunFolder(tmp_path), followed(EVENTS)
    assert state_of(files, run) == "stopped"
    with locked(files.lock):
        assert state_of(files, run) == "running"
    assert state_of(files, run) == "stopped"
    assert state_of(files, followed([event("run-ended")])) == "ended"


def test_a_sparkline_shows_half_as_nothing_and_keeps_the_newest() -> None:
    assert sparkline([0.2, 0.5, 0.99, 1.0, None]) == "▁▁██·"
    assert sparkline([]) == ""
    many = sparkline([0.5] * 99 + [1.0])
    assert len(many) <= 24 and many[-1] == "█"


def test_durations_are_said_as_a_reader_says_them() -> None:
    assert [duration(s) for s in (0.2, 40, 700, 12_600)] == ["1 s", "40 s", "12 min", "3.5 h"]


def test_runs_and_watch_tell_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "year"
    folder.mkdir()
    (folder / "config.toml").write_text("")
    (folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in EVENTS))
    assert main(["runs", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "year" in listed and "stopped" in listed and "2 of 8" in listed
    assert main(["watch", str(folder)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "go on with: consilium resume" in shown
    assert "its disk is full" in shown and "0.750" in shown and "2 of 4 rounds" in shown
