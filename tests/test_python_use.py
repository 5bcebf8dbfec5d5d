"""A study run from Python, as in a notebook: checked, shown, returned, and read with care."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from federated import engine, plots
from federated.errors import UserError
from federated.runs.reading import Run


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, data_cache: Any) -> Run:
    from conftest import TINY

    folder = tmp_path_factory.mktemp("runs") / "run"
    return engine.run({**TINY, "folder": str(folder), "data.cache": str(data_cache)})


def test_a_run_is_returned_and_a_second_call_returns_the_same(tiny_run: Run) -> None:
    assert tiny_run.has_ended and len(tiny_run.selected("test")) == 3
    before = tiny_run.files.metrics.read_bytes()
    given = {**_given(tiny_run), "folder": str(tiny_run.folder)}
    assert engine.run(given).folder == tiny_run.folder
    assert tiny_run.files.metrics.read_bytes() == before


def _given(run: Run) -> dict[str, Any]:
    from federated.config.given import read_toml

    return read_toml(run.files.config)


def test_without_a_folder_it_is_named_after_the_run_and_the_time(
    tiny: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {**tiny(rounds=1), "folder": ""}
    one, two = engine.run(given), engine.run(given)
    assert one.folder.parent == two.folder.parent == tmp_path / "runs"
    assert one.folder != two.folder


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"model.name": "convnett"}, "did you mean 'convnet'"),
        ({"model.name": "test_python_use:three_classes"}, "logits of shape"),
        ({"engine.threads": 200}, "engine.threads = 200"),
    ],
)
def test_python_checks_what_the_command_checks(
    tiny: Any, tmp_path: Any, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        engine.run({**tiny(), **wrong})
    assert not (tmp_path / "run").exists()


def three_classes() -> Any:
    """Return a network of the wrong shape."""
    from torch import nn

    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.selected("tset"),
        lambda run: run.selected("test", "keptt"),
        lambda run: run.wide("tset"),
        lambda run: run.values("auc", "tset"),
        lambda run: run.values("auc", "test", "keptt"),
        lambda run: run.predictions("phantom-9", "fedavg", 0),
        lambda run: run.predictions("phantom-1", "fedavgg", 0),
        lambda run: run.predictions("phantom-1", "fedavg", 7),
        lambda run: plots.convergence(run, "auc", "tset"),
    ],
)
def test_an_unknown_word_is_refused_and_never_gives_nothing(tiny_run: Run, ask: Any) -> None:
    with pytest.raises(UserError, match=r"there is no (split|model|site|method|seed) .+; there"):
        ask(tiny_run)


@pytest.mark.parametrize("given", [["a", "b"], "runs/mine", None])
def test_a_figure_says_what_it_takes(given: object) -> None:
    with pytest.raises(UserError, match=r"convergence draws one run, as engine\.run or"):
        plots.convergence(given)  # type: ignore[arg-type]


def test_a_notebook_shows_how_far_a_run_is(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    output = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda html, display_id: output)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr("federated.engine.notebook.BETWEEN", -1.0)
    monkeypatch.setattr("federated.engine.running.is_notebook", lambda: True)
    engine.run(tiny(rounds=2))
    assert any("decoding images of phantom-" in html for html in shown)
    assert any("1 of 2 rounds" in html and "phantom-1 0." in html for html in shown)
    assert "2 of 2 rounds, ended after" in shown[-1]
