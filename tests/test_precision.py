"""The precision of a run: pinned where results are for publication, stated, and compared."""

import json
from pathlib import Path

import pytest
import torch
from test_plots import full_rows, write_run
from torch import Tensor, nn

from federated.commands.main import main
from federated.learning.compute import Compute
from federated.learning.terms import ModelContrast, Step
from federated.report import summary_table
from federated.report.precision import differences, precisions
from federated.runs.reading import Run, load
from federated.sweeps.plan import read_sweep

CONFIGS = Path(__file__).parent.parent / "configs"


def run_on(folder: Path, *, native: bool, **settings: object) -> Run:
    """Return a run of a processor with or without bf16."""
    run = write_run(folder, full_rows(rounds=1), **settings)
    known = run.environment | {"native_bf16": native}
    (folder / "environment.json").write_text(json.dumps(known))
    return load(folder)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.toml")), ids=lambda p: p.stem)
def test_whatever_is_published_pins_its_precision(path: Path) -> None:
    runs = read_sweep(path, {}).runs  # a run's file is a sweep of one
    configs = [config for run in runs for config in run.study.by_method.values()]
    assert {config.train.precision for config in configs} == {"fp32"}


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_told_as_what_it_came_to(tmp_path: Path, native: bool) -> None:
    found = "bf16" if native else "fp32"
    run = run_on(tmp_path / "auto", native=native)
    assert set(precisions(run).values()) == {found}
    assert f"Computed in {found}, as train.precision = auto chose" in summary_table(run)
    pinned = run_on(tmp_path / "pinned", native=native, **{"train.precision": "fp32"})
    assert "Computed in fp32.\n" in summary_table(pinned)


def test_two_runs_of_one_config_differ_in_precision_by_their_processors(tmp_path: Path) -> None:
    here, there = (run_on(tmp_path / str(n), native=n) for n in (True, False))
    assert differences(here, there) == [
        f"computed precision, {method}: bf16, fp32" for method in here.study.by_method
    ]
    assert differences(here, here) == []


def test_report_says_in_what_two_runs_differ(tmp_path: Path, capsys) -> None:
    here = run_on(tmp_path / "here", native=True, **{"train.lr": 0.5})
    run_on(tmp_path / "there", native=False, **{"train.lr": 0.25, "data.image-size": 96})
    assert main(["report", str(here.folder), str(tmp_path / "there")]) == 0
    text = capsys.readouterr().out
    for line in ("computed precision, local: bf16, fp32", "data.image-size: 64, 96"):
        assert f"- {line}\n" in text
    assert "- train.lr, local: 0.5, 0.25\n" in text
    page = (here.folder / "side-by-side.html").read_text()
    assert "data.image-size: 64, 96" in page and "here: Convergence" in page
    assert main(["report", str(here.folder), str(tmp_path / "none")]) == 2


class Watching(nn.Module):
    """Returns embeddings, and notes the dtype that its layer computed in."""

    def __init__(self, seen: list[torch.dtype]) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(3, 4), seen

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.layer(x)
        self.seen.append(z.dtype)
        return z, z


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_moons_anchors_are_computed_as_the_model_is(bf16: bool, dtype: torch.dtype) -> None:
    seen: list[torch.dtype] = []
    term = ModelContrast(
        Watching(seen), Watching(seen), 1.0, 0.5, Compute(torch.device("cpu"), bf16)
    )
    x, labels = torch.randn(2, 3), torch.zeros(2, dtype=torch.int64)
    term(Step(x, labels, labels, torch.randn(2, 4), torch.randn(2, 4)))
    assert seen == [dtype, dtype]
