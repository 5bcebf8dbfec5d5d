"""Ctrl-C: the run ends, says how to go on, leaves no process, and goes on to the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from test_laws import numbers

from federated.commands.progress import stoppable
from federated.engine import run
from federated.runs.reading import load

ENGINES = ["inline", pytest.param("ray", marks=pytest.mark.ray)]


def processes_with(text: str) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except (OSError, ValueError):
            continue
    return [pid for pid in found if pid != os.getpid()]


def nothing_left(mark: str) -> bool:
    """Return whether all processes with ``mark`` end soon; print the others."""
    if wait_for(lambda: not processes_with(mark), 20):
        return True
    for pid in processes_with(mark):
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        print(pid, named(pid), b" ".join(words).decode())
    return False


def wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_destructor_swallows_stops_at_the_next_event() -> None:
    class Reference:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    heard: list[str] = []
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stoppable(lambda event: heard.append(event["kind"])) as listener:
        listener({"kind": "before"})
        Reference()
        with pytest.raises(KeyboardInterrupt):
            listener({"kind": "after"})
    assert heard == ["before"]
    assert signal.signal(signal.SIGINT, inherited) is signal.default_int_handler


def test_a_background_job_goes_on_ignoring_the_signal() -> None:
    inherited = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stoppable(lambda event: None) as listener:
        os.kill(os.getpid(), signal.SIGINT)
        listener({"kind": "any"})
    assert signal.signal(signal.SIGINT, inherited) is signal.SIG_IGN


def begin(given: dict[str, str], mark: str) -> subprocess.Popen[str]:
    """Start a run as a command in a session of its own; its processes have ``mark`` about them."""
    words = [f"{key}={value}" for key, value in given.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "federated.commands.main", "run", *words, "--no-report"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSILIUM_TEST_MARK": mark},
        start_new_session=True,
        # These tests may themselves run in the background, where the signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def in_its_second_round(given: dict[str, str]) -> bool:
    events = Path(given["folder"]) / "events.jsonl"
    return wait_for(lambda: events.exists() and "round-ended" in events.read_text(), 120)


def goes_on_to_the_same_bits(tiny, given: dict[str, str], settings: dict[str, object]) -> None:
    run({**given, "engine.kind": "inline"})
    whole = tiny("whole", **{**settings, "engine__kind": "inline"})
    run(whole)
    expected, found = (numbers(load(g["folder"]), "consilium") for g in (whole, given))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


needs_proc = pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
LONG = {"rounds": 30, "methods": "consilium"}


@needs_proc
@pytest.mark.parametrize("kind", ENGINES)
def test_interrupted_run_goes_on(tiny, kind: str, tmp_path: Path) -> None:
    settings = {**LONG, "engine__kind": kind}
    given, mark = tiny("cut", **settings), str(tmp_path)
    process = begin(given, mark)
    assert in_its_second_round(given)
    # To the whole group, as a terminal does it: workers must not each answer in their own way.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"consilium resume {given['folder']}" in err and "Traceback" not in err
    assert nothing_left(mark)
    goes_on_to_the_same_bits(tiny, given, settings)


@needs_proc
@pytest.mark.ray
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_run_whose_ray_is_killed_says_how_to_go_on(tiny, name: str, tmp_path: Path) -> None:
    # A round is mostly training. Whoever kills the raylet while this process is storing something
    # in it has Ray end this process, with status 1 and no sentence (docs/RELIABILITY.md).
    settings = {"rounds": 5, "train__max_steps": 150, "engine__kind": "ray", "engine__workers": 1}
    given, mark = tiny("cut", **settings), str(tmp_path)
    process = begin(given, mark)
    assert in_its_second_round(given)
    time.sleep(0.3)
    victims = [p for p in processes_with(mark) if named(p) == name]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert out == "" and "Traceback" not in err
    assert process.returncode == 2
    assert err.splitlines()[-1] == (
        f"consilium: Ray's {name} ended in the middle of the run; it was killed, or memory ran out."
        f" All rounds before are saved; go on with: consilium resume {given['folder']}"
    )
    assert "Traceback" not in err
    assert nothing_left(mark)
    goes_on_to_the_same_bits(tiny, given, settings)


def named(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


@needs_proc
@pytest.mark.ray
def test_nothing_outlives_a_killed_run(tiny, tmp_path: Path) -> None:
    given, mark = tiny("cut", **LONG, engine__kind="ray"), str(tmp_path)
    process = begin(given, mark)
    assert in_its_second_round(given)
    assert len(processes_with(mark)) > 3
    process.kill()
    process.communicate(timeout=60)
    assert nothing_left(mark)


@needs_proc
@pytest.mark.ray
def test_a_run_is_interrupted_while_ray_starts(tiny, tmp_path: Path) -> None:
    given, mark = tiny("cut", **LONG, engine__kind="ray"), str(tmp_path)
    process = begin(given, mark)
    assert wait_for(lambda: "gcs_server" in map(named, processes_with(mark)), 60)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err and "consilium: stopped" in err
    assert nothing_left(mark)
