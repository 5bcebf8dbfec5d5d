"""The command as a user meets it: a process, its output and its exit status."""

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from federated.commands import main as cli
from federated.commands.main import main

HEAVY = ("torch", "ray", "flwr", "pandas", "matplotlib", "numpy")


def consilium(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "federated.commands.main", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["resume", "--help"],
        ["report", "--help"],
        ["data", "--help"],
        ["benefit", "--help"],
        ["what-if", "--help"],
        ["methods"],
        ["config"],
        ["config", "--markdown"],
    ],
    ids=" ".join,
)
def test_what_only_informs_imports_nothing_heavy(words: list[str]) -> None:
    """Half a second for help is kept by what is not imported, not by a clock in a test."""
    code = (
        "import sys; from federated.commands.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip().endswith("[]"), done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "none.toml"], "there is no config file none.toml"),
        (["run", "roundz=3"], "there is no setting 'roundz' (did you mean 'rounds'?"),
        (["run", "phantom.sites=0", "engine.kind=inline"], "there is no hospital"),
        (["run", "partition.kind=iid", "engine.kind=inline"], "there are only phantoms; set one"),
        (["run", "data.shift=1", "engine.kind=inline"], "data.shift = 1.0 is done to images of"),
        (["run", "data.covid-ct=/nowhere", "engine.kind=inline"], "/nowhere"),
        (["run", "model.name=covidnett", "engine.kind=inline"], "did you mean 'covidnet'"),
        (["run", "engine.gpus=1", "engine.kind=inline"], "torch sees no GPU"),
        (["resume", "nowhere"], "nowhere holds no run"),
        (["report", "nowhere"], "nowhere holds no run"),
    ],
)
def test_a_mistake_gets_one_sentence_and_status_2(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    small = ["phantom.sites=1", "phantom.patients=6", f"data.cache={tmp_path}"]
    extra = [] if words[0] != "run" or "toml" in words[1] else small
    extra = [w for w in extra if w.split("=")[0] not in {v.split("=")[0] for v in words}]
    done = consilium(*words, *extra, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("consilium: ")


def words_of(settings: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def test_run_leaves_a_whole_folder_and_resume_and_report_work(
    tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny(methods="local,consilium")
    assert main(["run", *words_of(given)]) == 0
    out = capsys.readouterr().out
    assert "AUC" in out and "summary:" in out
    folder = Path(given["folder"])
    for name in (
        "config.toml",
        "environment.json",
        "metrics.csv",
        "metrics.parquet",
        "events.jsonl",
        "summary.html",
        "plots/convergence.png",
        "consilium/seed-0/shared.safetensors",
        "sites/phantom-1/consilium/seed-0/predictions-final.csv",
    ):
        assert (folder / name).stat().st_size > 0, name
    environment = json.loads((folder / "environment.json").read_text())
    assert {"python", "packages", "commit", "cpu", "cores"} <= environment.keys()
    assert main(["resume", str(folder), "engine.retries=1", "--quiet"]) == 0
    assert main(["report", str(folder)]) == 0


def test_run_does_not_touch_a_folder_that_is_not_empty(
    tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("all of it")
    assert main(["run", *words_of(tiny("mine"))]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]


def test_resume_refuses_what_would_change_the_numbers(
    tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny(rounds=1)
    assert main(["run", *words_of(given), "--quiet"]) == 0
    assert main(["resume", given["folder"], "train.lr=1"]) == 2
    assert "would change the numbers" in capsys.readouterr().err


def test_a_report_can_be_left_for_later(tiny) -> None:
    given = tiny(rounds=1)
    folder = Path(given["folder"])
    assert main(["run", *words_of(given), "--quiet", "--no-report"]) == 0
    assert not (folder / "summary.html").exists() and not (folder / "plots").exists()
    assert main(["report", str(folder)]) == 0
    assert (folder / "summary.html").exists()


def test_json_prints_one_event_a_line(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words_of(tiny(rounds=1)), "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds.count("round-ended") == 1 and kinds[-2:] == ["run-ended", "conclusion"]
    assert kinds.count("site-started") == kinds.count("site-ended") > 0
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert times == sorted(times)
    end = events[-1]
    assert {row["model"] for row in end["metrics"]} == {"kept", "final"}
    assert sum(row["metric"] == "auc" and row["model"] == "kept" for row in end["metrics"]) == 3
    assert all(Path(path).exists() for path in end["paths"].values()) and len(end["paths"]) == 4


def test_quiet_prints_the_last_line(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    given = tiny(rounds=1)
    assert main(["run", *words_of(given), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == f"ended: {given['folder']}/summary.html\n" and not err


def test_settings_may_stand_after_options() -> None:
    words = ["run", "a.toml", "rounds=2", "--quiet", "train.lr=0.1"]
    found = cli._arguments(words)
    assert found.settings == ["rounds=2", "train.lr=0.1"] and found.style == "quiet"


def test_a_reader_who_has_had_enough_gets_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "federated.commands.main", "config"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
