"""Starting Ray touches its inside in one place, for as long as it starts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray._private import ray_constants, services
from ray._private.node import Node
from ray._private.services import get_node_ip_address
from ray._raylet import AuthenticationMode, get_authentication_mode
from test_interrupt import wait_for

from federated.engine.ray import forks, own, start, tied
from federated.engine.ray.cluster import paths_of_this_process


def test_onlookers_are_methods_of_this_ray_and_come_back() -> None:
    before = {name: vars(Node)[name] for name in own.ONLOOKERS}
    with pytest.raises(ConnectionError), own._without_onlookers():
        assert all(vars(Node)[name] is not before[name] for name in own.ONLOOKERS)
        assert Node.start_monitor(None) is None
        raise ConnectionError
    assert {name: vars(Node)[name] for name in own.ONLOOKERS} == before


def test_this_machine_is_the_loopback_for_as_long_as_ray_starts() -> None:
    before = ray_constants.ENABLE_RAY_CLUSTER
    with own._on_loopback():
        assert get_node_ip_address() in ("127.0.0.1", "::1")
    assert before == ray_constants.ENABLE_RAY_CLUSTER


def test_ray_reads_a_token_also_after_it_was_imported() -> None:
    with own.environment("RAY_AUTH_MODE", "token"):
        own.read_token()
        assert get_authentication_mode() == AuthenticationMode.TOKEN
    own.read_token()
    assert get_authentication_mode() == AuthenticationMode.DISABLED


def test_signals_are_what_they_were_after_native_code_took_them() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with own._signals_kept():
            assert signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            own.ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, 1)  # SIG_IGN, behind Python's back
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        signal.raise_signal(signal.SIGTERM)
        own.ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, 1)
        start._restore_handler()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * 2
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_agents_and_workers_are_started_by_tied_for_as_long_as_ray_starts() -> None:
    command, setup = getattr(services, own.AGENT_COMMAND), ray_constants.SETUP_WORKER_FILENAME
    with own._tied():
        assert getattr(services, own.AGENT_COMMAND)("agent", "folder") == [
            *command("agent", "folder"),
            tied.__file__,
        ]
        assert Path("/ray/workers", ray_constants.SETUP_WORKER_FILENAME) == Path(tied.__file__)
    assert getattr(services, own.AGENT_COMMAND) is command
    assert setup == ray_constants.SETUP_WORKER_FILENAME


def test_a_worker_is_set_up_by_ray_only_if_there_is_something_to_set_up() -> None:
    assert tied.program_of(["agent.py", "--head"]) == ["agent.py", "--head"]
    plain = ["default_worker.py", "--node-id=1", "--language=PYTHON"]
    assert tied.program_of(plain) == ["default_worker.py", "--node-id=1"]
    for words in ([*plain, f"{tied.CONTEXT}{{}}"], ["-S", *plain]):
        setup, *rest = tied.program_of(words)
        assert rest == words and Path(setup).name == "setup_worker.py" and Path(setup).is_file()


PARENT = """
import os, subprocess, sys, time
program, tied, out = sys.argv[1:]
subprocess.Popen([sys.executable, tied, program, out], env={"RAY_RAYLET_PID": str(os.getpid())})
time.sleep(60)
"""
CHILD = """
import os, sys, time
open(sys.argv[1] + ".new", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_a_tied_process_ends_with_its_parent(tmp_path: Path) -> None:
    program, out = tmp_path / "child.py", tmp_path / "pid"
    program.write_text(CHILD)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, program, tied.__file__, out])
    assert wait_for(out.exists, 60)
    child = psutil.Process(int(out.read_text()))
    parent.kill()
    parent.wait()
    child.wait(timeout=60)
    late = [sys.executable, tied.__file__, program, out]
    assert subprocess.run(late, env={"RAY_RAYLET_PID": "1"}, timeout=60).returncode == 1


WORKER = """
import json, os, sys, time
told = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "imported": "colorsys" in sys.modules,
    "parent": os.getppid(),
    "process": os.getpid(),
}
print(json.dumps(told), flush=True)
time.sleep(float(sys.argv[1]))
"""


def started(program: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a program as a raylet starts a worker."""
    words = [sys.executable, tied.__file__, str(program), f"{seconds:g}", "--language=PYTHON"]
    environment = {**os.environ, tied.RAYLET: str(os.getpid()), "ONLY_OF": "the worker"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


def told_by(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what the program says of itself."""
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_workers_are_forks_of_one_process_and_look_as_if_they_were_started(tmp_path: Path) -> None:
    program = tmp_path / "default_worker.py"
    program.write_text(WORKER)
    path = own.environment("PYTHONPATH", paths_of_this_process())
    with path, forks.sown(tmp_path, ("colorsys",)) as sown:
        workers = [started(program, 60), started(program, 60), started(program, 0)]
    told = [told_by(worker) for worker in workers]
    assert workers[2].wait(60) == 0  # ends with its fork
    for one in told:
        assert one["imported"] and one["environment"]["ONLY_OF"] == "the worker"
        assert one["arguments"][1:] == []
    assert len({one["process"] for one in told}) == 3
    assert sown and {one["parent"] for one in told} == {sown.pid}
    assert tied.SEED not in os.environ

    forks.end(sown)  # its forks end with it, and each is missed
    assert [worker.wait(60) for worker in workers[:2]] == [0, 0]
    with own.environment(tied.SEED, str(tmp_path / "s")):
        late = started(program, 0)  # nobody is there to fork: it is the worker itself
    alone = told_by(late)
    assert (alone["process"], alone["imported"]) == (late.pid, False)
    assert late.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_no_seed_is_left_of_a_cluster_that_did_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), forks.sown(tmp_path, ()) as seed:
        raise ConnectionError
    assert seed and seed.poll() is not None and tied.SEED not in os.environ


@pytest.mark.ray
@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")
def test_a_cluster_that_is_left_takes_its_seed_along() -> None:
    def seeds() -> list[psutil.Process]:
        children = psutil.Process().children()
        return [child for child in children if forks.__file__ in child.cmdline()]

    before = seeds()
    cluster = own.start()
    assert len(seeds()) == len(before) + 1
    cluster.close()
    assert seeds() == before
