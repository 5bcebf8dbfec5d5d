"""A run folder knows what it is, and has one writer."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from federated.errors import UserError
from federated.runs.lineage import Lineage
from federated.runs.lock import locked

SETTINGS = {"rounds": 3, "method.fedbn.train.lr": 0.001, "engine.workers": 2}


def free(name: str) -> bool:
    return name == "engine.workers"


def test_the_same_run_goes_on_and_another_is_named(tmp_path: Path) -> None:
    lineage = Lineage.new(SETTINGS)
    lineage.check({**SETTINGS, "engine.workers": 9}, free, folder=tmp_path)
    with pytest.raises(UserError, match=r"train\.lr was 0\.001 and is now 0\.1.*consilium resume"):
        lineage.check({**SETTINGS, "method.fedbn.train.lr": 0.1}, free, folder=tmp_path)
    with pytest.raises(UserError, match="rounds was 3 and is now None"):
        lineage.check({k: v for k, v in SETTINGS.items() if k != "rounds"}, free, folder=tmp_path)
    many = {f"setting-{k}": 1 for k in range(9)}
    with pytest.raises(UserError, match="and 6 more"):
        lineage.check({**SETTINGS, **many}, free, folder=tmp_path)
    with pytest.raises(UserError, match="other code began"):
        replace(lineage, code="0" * 64).check(SETTINGS, free, folder=tmp_path)


def test_two_runs_are_never_the_same_and_a_lineage_comes_back(tmp_path: Path) -> None:
    first, second = Lineage.new(SETTINGS), Lineage.new(SETTINGS)
    assert first.run != second.run
    path = tmp_path / "lineage.json"
    path.write_text(first.to_json())
    assert Lineage.read(path) == first


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run": 1}', json.dumps({"other": 1})])
def test_a_damaged_lineage_gets_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lineage.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is damaged"):
        Lineage.read(path)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        Lineage.read(path)


def test_a_lock_has_one_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, time; from pathlib import Path; from federated.runs.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"process {holder.pid} works on that run"), locked(path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    time.sleep(0.05)
    with locked(path):
        assert path.read_text() == f"{os.getpid()}\n"
    with locked(path):
        pass
