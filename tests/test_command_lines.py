"""Command lines that ask for what cannot be: one sentence on standard error, and status 2."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from federated.commands.main import main

NETWORKS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, result):
        super().__init__()
        self.layer, self.result = nn.Linear(3, 2), result
    def forward(self, x):
        logits = self.layer(x.mean((2, 3)))
        return self.result(logits, x)

def raising(): raise KeyError("no such weights")
def leaving(): raise SystemExit("bye")
def nothing(): return None
def text(): return "resnet"
def failing(): return Net(lambda logits, x: logits[5:, 9])
def no_result(): return Net(lambda logits, x: None)
def named(): return Net(lambda logits, x: {"logits": logits})
def three(): return Net(lambda logits, x: (logits, logits, logits))
def half(): return Net(lambda logits, x: (logits, None))
def single(): return Net(lambda logits, x: logits[:, :1])
def flat(): return Net(lambda logits, x: logits.flatten())
def maps(): return Net(lambda logits, x: (logits, x))
needs = lambda depth: None
five = 5
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with networks, a file, and folders of runs that are broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    # No line here comes so far that it needs Ray, and its start could not be waited for.
    monkeypatch.setattr("federated.engine.ray.start.start_ahead", lambda address: None)
    (tmp_path / "nets.py").write_text(NETWORKS)
    (tmp_path / "bad.py").write_text("import nowhere_at_all")
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    for name, config, metrics in (
        ("empty", "", ""),
        ("half", 'methods = ["fed', "method,seed\n"),
        ("cut", "", "method,seed,round,site,split,model,metric,value,num_examples\nfedavg,0,1,a,"),
        ("other", "", "a,b\n1,2\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(config)
        (tmp_path / name / "metrics.csv").write_text(metrics)
        (tmp_path / name / "events.jsonl").write_text('{"kind": "cell-st')
    return tmp_path


def of_model(name: str, *more: str) -> list[str]:
    return ["run", f"model.name=nets:{name}", *more]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "folder=file"], "file is a file; name a folder"),
        (["run", "folder=~nobodyx/y"], "folder = '~nobodyx/y': there is no such home folder"),
        (["run", "data.cache=~nobodyx/y"], "data.cache = '~nobodyx/y': there is no such home"),
        (["run", "data.folder=~nobodyx/y"], "data.folder = '~nobodyx/y': there is no such home"),
        (["run", "folder=file/below/it"], "file is a file; name a folder"),
        (["run", "folder=half"], "go on with the run in it"),
        (["run", "file"], "file is not valid TOML"),
        (["run", "half"], "half is a folder; name a .toml file"),
        (["run", "latin.toml"], "latin.toml is not valid TOML"),
        (["run", "file/x.toml"], "cannot be read: Not a directory"),
        (["run", "x" * 300 + ".toml"], "cannot be read: File name too long"),
        (of_model("raising"), "cannot be built: KeyError: 'no such weights'."),
        (of_model("leaving"), "cannot be built: SystemExit: bye."),
        (of_model("nothing"), "returned NoneType, not a torch module"),
        (of_model("text"), "returned str, not a torch module"),
        (of_model("failing"), "fails on two images of 32x32 px: IndexError"),
        (of_model("no_result"), "returns None; return logits"),
        (of_model("named"), "returns a dict; return logits"),
        (of_model("three"), "returns a tuple of Tensor, Tensor, Tensor; return logits"),
        (of_model("half"), "returns a tuple of Tensor, NoneType; return logits"),
        (of_model("single"), "returns logits of shape (2, 1)"),
        (of_model("flat"), "returns logits of shape (4,)"),
        (of_model("maps", "methods=contrastive"), "an embedding of shape (2, 3, 32, 32)"),
        (of_model("needs"), "missing a required argument: 'depth'"),
        (of_model("five"), "is a value of type int"),
        (of_model("fife"), "has no 'fife' (did you mean 'five'"),
        (["run", "model.name=nowhere:net"], "there is no module nowhere; looked in"),
        (["run", "model.name=bad:net"], "bad cannot be imported: ModuleNotFoundError"),
        (["run", "phantom.patients=1000000000"], "GB, and this machine has"),
        (["run", "train.batch-size=4000000000", "phantom.patients=20000000"], "this machine has"),
        (
            ["run", "model.name=covidnet-original", "model.width=4", "data.image-size=512"],
            "this machine has",
        ),
        (["run", "engine.threads=256"], "engine.threads = 256, but this machine has"),
        (["run", "engine.gpus=64"], "engine.gpus = 64, but torch sees"),
        (["run", "engine.kind=ray", "engine.threads=256"], "engine.threads = 256, but"),
        (["run", "engine.kind=ray", "engine.gpus=64"], "engine.gpus = 64, but torch sees"),
        (["resume", "file"], "file holds no run"),
        (["resume", "half"], "half/config.toml is not valid TOML"),
        (["resume", "empty", "engine.gpus=1"], "engine.gpus would change the numbers"),
        (["resume", "empty", "engine.threads=2"], "engine.threads would change the numbers"),
        (["resume", "empty", "engine.thread=2"], "there is no setting 'engine.thread'"),
        (["report", "file"], "file holds no run"),
        (["report", "empty"], "empty/metrics.csv is damaged"),
        (["report", "half"], "half/config.toml is not valid TOML"),
        (["report", "cut"], "cut/metrics.csv is damaged"),
        (["report", "other"], "other/metrics.csv is damaged"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_one_sentence_and_status_2(
    words: list[str], sentence: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["engine.kind=inline", "data.image-size=32", "phantom.patients=6", "methods=fedavg"]
    given = {word.split("=")[0] for word in words}
    if words[0] == "run":
        words = [*words, *(word for word in small if word.split("=")[0] not in given)]
    assert main(words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("consilium: ") and sentence in last


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "federated.commands.main", *words]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full device")
def test_output_that_cannot_be_written() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("methods"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == (
        "consilium: standard output: No space left on device; nothing that was written before is "
        "lost.\n"
    )


@pytest.mark.parametrize(("words", "status"), [("config", 0), ("report nowhere", 2)])
def test_closed_output_is_nobody_listening(words: str, status: int) -> None:
    line = " ".join([*command(words), ">&-", "2>&-"])
    assert subprocess.run(["sh", "-c", line], check=False).returncode == status


def test_a_disk_that_is_full_gets_a_sentence(
    tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("server.opening.write_bytes", full)
    given = tiny(rounds=1)
    assert main(["run", *(f"{k}={v}" for k, v in given.items()), "--quiet"]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(f"consilium: {given['folder']}: No space left on device")


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_signal_ends_a_run_and_says_how_to_go_on(tiny, kind: str, number: signal.Signals) -> None:
    given = tiny(rounds=200, engine__kind=kind)
    words = [f"{key}={value}" for key, value in given.items()]
    process = subprocess.Popen(
        command("run", *words),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # These tests may themselves run where the signals are ignored.
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (1, 2, 15)],
    )
    events = Path(given["folder"]) / "events.jsonl"
    while not (events.exists() and "round-ended" in events.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    last = err.strip().splitlines()[-1]
    assert last == f"consilium: stopped; go on with: consilium resume {given['folder']}"
    assert "Traceback" not in err and "stack trace" not in err
