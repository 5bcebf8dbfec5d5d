"""Every notebook runs from top to bottom, and none carries an output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
FIRST = [NOTEBOOKS[0], *(pytest.param(path, marks=pytest.mark.slow) for path in NOTEBOOKS[1:])]


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_has_no_output(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.parametrize("path", FIRST, ids=name_of)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch, data_cache: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(data_cache))
    monkeypatch.delenv("CONSILIUM_DATA", raising=False)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    assert any("image/png" in data for data in shown), "the notebook draws nothing"
    bars = [data["text/html"] for data in shown if "<progress" in str(data.get("text/html"))]
    assert bars and all("ended after" in bar for bar in bars if "looking at" not in bar)
