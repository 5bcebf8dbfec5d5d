"""Trackers: what each wrote, read back by its own reader, is what metrics.csv holds."""

import math
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from federated import engine
from federated.commands.main import main
from federated.errors import UserError
from federated.runs.tracking import TRACKERS, Told, check_trackers

Numbers = dict[tuple[str, int, int, str], float]
"""(method, seed, round, SITE/SPLIT/MODEL/METRIC) -> value."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("tracked")
    engine.run(
        {
            "name": "tracked",
            "folder": str(base / "run"),
            "data.cache": str(base / "cache"),
            "track": "tensorboard,mlflow,wandb",
            "methods": "local,fedavg",
            "rounds": 2,
            "phantom.sites": 2,
            "phantom.patients": 8,
            "model.name": "convnet",
            "data.image-size": 16,
            "engine.kind": "inline",
        }
    )
    return base / "run"


@pytest.fixture(scope="module")
def written(folder: Path) -> Numbers:
    """Return the finite numbers of metrics.csv."""
    frame = pd.read_csv(folder / "metrics.csv")
    names = frame["site"] + "/" + frame["split"] + "/" + frame["model"] + "/" + frame["metric"]
    keys = zip(frame["method"], frame["seed"], frame["round"], names, strict=True)
    numbers = dict(zip(keys, frame["value"], strict=True))
    assert len(numbers) == len(frame) > 100
    return {key: value for key, value in numbers.items() if math.isfinite(value)}


@pytest.mark.slow
def test_tensorboard_has_every_number(folder: Path, written: Numbers) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Numbers = {}
    for method in ("local", "fedavg"):
        log = EventAccumulator(
            str(folder / "trackers" / "tensorboard" / method / "seed-0"), {"scalars": 0}
        )
        log.Reload()
        for name in log.Tags()["scalars"]:
            for one in log.Scalars(name):
                found[method, 0, one.step, name] = one.value
    assert found.keys() == written.keys()
    for key, value in written.items():
        # TensorBoard keeps single precision.
        assert found[key] == pytest.approx(value, rel=1e-6, abs=1e-30)


@pytest.mark.slow
def test_mlflow_has_every_number_and_the_settings(folder: Path, written: Numbers) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'trackers' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tracked")
    assert experiment is not None
    found: Numbers = {}
    for run in client.search_runs([experiment.experiment_id]):
        assert run.info.status == "FINISHED"
        method, seed = run.data.params["method"], int(run.data.params["seed"])
        assert run.data.params["model.name"] == "convnet"
        for name in run.data.metrics:
            for one in client.get_metric_history(run.info.run_id, name):
                found[method, seed, one.step, name] = one.value
    assert found == written


@pytest.mark.slow
def test_wandb_has_every_number_offline(folder: Path, written: Numbers) -> None:
    from wandb.proto.wandb_internal_pb2 import Record

    found: Numbers = {}
    for file in (folder / "trackers" / "wandb").glob("offline-run-*/*.wandb"):
        cell: tuple[str, int] | None = None
        for payload in leveldb_records(file.read_bytes()[7:]):
            record = Record.FromString(payload)
            if record.HasField("run"):
                method, seed = record.run.display_name.split(", seed ")
                cell = method, int(seed)
                assert record.run.run_group == "tracked"
            if record.HasField("history"):
                assert cell is not None
                items = {
                    (item.key or "/".join(item.nested_key)): item.value_json
                    for item in record.history.item
                }
                step = int(items["_step"])
                for name, text in items.items():
                    if not name.startswith("_") and text not in ("NaN", '"NaN"'):
                        found[*cell, step, name] = float(text)
    assert found == written


def leveldb_records(log: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log: blocks of 32 KiB, after a header of 7 bytes of W&B's."""
    place, record = 0, b""
    while place + 7 <= len(log):
        left = 32768 - (place + 7) % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", log[place + 4 : place + 7])
        record += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def test_nothing_is_imported_that_is_not_used() -> None:
    code = (
        "import sys, federated.engine, server.app, clients.app\n"
        "print([m for m in ('tensorboard', 'mlflow', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_there_is_not_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["phantom.sites=1", "phantom.patients=6", f"folder={tmp_path / 'run'}"]
    assert main(["run", "track=wandbb", "engine.kind=inline", *words]) == 2
    assert "none of tensorboard, mlflow, wandb (did you mean 'wandb'?)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, TRACKERS["wandb"], raising=False)
    with pytest.raises(UserError, match=r"pip install 'consilium\[wandb\]'"):
        check_trackers(["wandb"])


class Failing:
    """Fails at the second round."""

    def __init__(self) -> None:
        self.rounds: list[int] = []

    def log(self, cell: tuple[str, int], round: int, numbers: object) -> None:
        self.rounds.append(round)
        if round == 2:
            raise OSError("its disk is full")

    def close(self) -> None:
        self.rounds.append(-1)


def test_a_tracker_that_fails_is_told_nothing_more_and_the_others_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Steady(Failing):
        def log(self, cell: tuple[str, int], round: int, numbers: object) -> None:
            self.rounds.append(round)

    path, failing, steady = tmp_path / "metrics.csv", Failing(), Steady()
    path.write_text("method,seed,round,site,split,model,metric,value,num_examples\n")
    told = Told(path, {"failing": failing, "steady": steady})
    for number in (1, 2, 3):
        with path.open("a") as file:
            file.write(f"fedavg,0,{number},a,val,current,auc,0.5,3\n")
        told.take_new()
    told.close()
    assert failing.rounds == [1, 2]
    assert steady.rounds == [1, 2, 3, -1]
    assert "failing failed (OSError: its disk is full)" in caplog.text
