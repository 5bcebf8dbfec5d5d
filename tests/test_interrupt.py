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


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("kind", ENGINES)
def test_interrupted_run_goes_on(tiny, kind: str, tmp_path: Path) -> None:
    settings = {"rounds": 30, "methods": "consilium", "engine__kind": kind}
    given = tiny("cut", **settings)
    words = [f"{key}={value}" for key, value in given.items()]
    mark = f"CONSILIUM_TEST_MARK={tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "federated.commands.main", "run", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CONSILIUM_TEST_MARK": str(tmp_path)},
        start_new_session=True,
        # These tests may themselves run in the background, where the signal is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    events = Path(given["folder"]) / "events.jsonl"
    assert wait_for(lambda: events.exists() and "round-ended" in events.read_text(), 120)
    # To the whole group, as a terminal does it: workers must not each answer in their own way.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"consilium resume {given['folder']}" in err and "Traceback" not in err
    assert wait_for(lambda: not processes_with(mark), 20), processes_with(mark)
    run(given)
    whole = tiny("whole", **{**settings, "engine__kind": "inline"})
    run(whole)
    expected, found = (numbers(load(g["folder"]), "consilium") for g in (whole, given))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
