"""Methods and networks of the user's own, in files beside the config."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from federated.commands.main import main
from federated.config import parse
from federated.config.given import read_config
from federated.config.writing import parse_run_config, run_config_of, to_toml
from federated.errors import UserError
from federated.report import summary_table
from federated.runs.reading import load

ROOT = Path(__file__).parent.parent


def example() -> dict[str, str]:
    """Return the files of docs/METHOD.md's worked example by name."""
    page = (ROOT / "docs" / "METHOD.md").read_text()
    return dict(re.findall(r"```\w+\n# (\S+\.\w+)\n(.*?)```", page, re.DOTALL))


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the example, which is not the current folder, and forget its module."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in example().items():
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for module in ("gentle", "broken", "network"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return folder


@pytest.mark.parametrize("kind", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_the_worked_example_runs_and_goes_on(beside: Path, tiny, kind: str) -> None:
    given = tiny(engine__kind=kind)
    words = [f"{key}={value}" for key, value in given.items() if key != "methods"]
    config, folder = beside / "study.toml", Path(given["folder"])
    assert main(["run", str(config), *words, "--quiet", "--no-report"]) == 0
    run = load(folder)
    assert list(run.metrics["method"].unique()) == ["fedavg", "gentle_prox"]
    assert run.study.by_method["gentle_prox"].train.proximal_mu == 0.002
    assert run.study.bases["gentle_prox"] == "gentle:gentle_prox"
    assert (folder / "sites" / "phantom-1" / "gentle_prox" / "seed-0").is_dir()
    assert "gentle_prox" in summary_table(run)
    # In a process of its own, whose current folder is another.
    words = [sys.executable, "-m", "federated.commands.main", "resume", str(folder)]
    assert (
        subprocess.run([*words, "--quiet", "--no-report"], cwd=folder, check=False).returncode == 0
    )


def test_a_network_is_found_beside_the_config(beside: Path, tiny) -> None:
    (beside / "network.py").write_text(
        "from torch import nn\n"
        "def small(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1),\n"
        "                         nn.Flatten(), nn.Linear(4, num_classes))\n"
    )
    (beside / "own.toml").write_text('model.name = "network:small"\n')
    given = tiny(rounds=1, model__name="network:small")
    words = [f"{key}={value}" for key, value in given.items() if key != "model.name"]
    assert main(["run", str(beside / "own.toml"), *words, "--quiet", "--no-report"]) == 0
    assert main(["resume", given["folder"], "--quiet", "--no-report"]) == 0


def test_a_run_is_read_when_its_method_has_gone(beside: Path) -> None:
    study = parse(read_config(beside / "study.toml"))
    (beside / "gentle.py").unlink()
    del sys.modules["gentle"]
    (beside / "again.toml").write_text(to_toml(study))
    assert parse(read_config(beside / "again.toml")).by_method.keys() == study.by_method.keys()


def test_a_site_reads_an_empty_text_where_the_method_has_none(beside: Path) -> None:
    (beside / "gentle.py").write_text(
        "from federated.config import Method\ngentle_prox = Method({'model.heads': 'fc'})\n"
    )
    given = {**read_config(beside / "study.toml"), "method.gentle_prox.model.heads": ""}
    study = parse({key: value for key, value in given.items() if "proximal" not in key})
    assert study.by_method["gentle_prox"].model.heads == ""
    assert parse(parse_run_config(run_config_of(study))) == study


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1", "gentle.py has no 'gentle_prox'"),
        ("gentle_prox = 1", "is a value of type int and no federated.config.Method"),
        ("raise ValueError('a\\nb')", "gentle cannot be imported: ValueError: a b."),
        ("raise SystemExit(3)", "gentle cannot be imported: SystemExit: 3."),
        ("import broken_module", "gentle cannot be imported: ModuleNotFoundError"),
        ("def", "gentle cannot be imported: SyntaxError"),
        (
            "from federated.config import Method\ngentle_prox = Method({'data.slices': 3})",
            "gentle:gentle_prox sets data.slices, which is the same for all methods",
        ),
        (
            "from federated.config import Method\ngentle_prox = Method({'train.learning': 3})",
            "there is no setting 'train.learning'",
        ),
    ],
)
def test_what_may_be_wrong_with_a_method(beside: Path, text: str, sentence: str) -> None:
    (beside / "gentle.py").write_text(text)
    with pytest.raises(UserError) as caught:
        parse(read_config(beside / "study.toml"))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_module_says_where_it_was_looked_for(beside: Path) -> None:
    (beside / "gentle.py").unlink()
    with pytest.raises(UserError, match="there is no module gentle; looked in") as caught:
        parse(read_config(beside / "study.toml"))
    assert str(beside) in str(caught.value) and str(Path.cwd()) in str(caught.value)


def test_a_name_of_ours_is_taken(beside: Path) -> None:
    with pytest.raises(UserError, match="there is a method fedavg already"):
        parse({**read_config(beside / "study.toml"), "methods": "gentle:fedavg"})
