"""Sweeps: the grid, cells that are kept, go on and are retried, and tables that add up."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, Error, Message
from sklearn.metrics import roc_auc_score
from test_compare import made_run
from test_messages import load_with
from test_resume import PowerCutError, cut_after

from clients.app import app as client_app
from federated.commands.main import main
from federated.errors import UserError
from federated.exchange.wire import unpack_order
from federated.runs.reading import load
from federated.statistics.images import scored
from federated.statistics.methods import against
from federated.sweeps import page
from federated.sweeps.intervals import compare_of, interval_tables, scored_cells
from federated.sweeps.plan import read_sweep
from federated.sweeps.results import predictions_of, scores_of
from federated.sweeps.tables import latex, numbers, table_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def sweep(tiny: Any, tmp_path: Path) -> Any:
    """Return a function that writes a sweep's file and the words that run it."""

    def write(grid: str, **settings: object) -> list[str]:
        given = tiny(**{"phantom__sites": 2, **settings})
        del given["folder"]
        lines = [f'{key} = "{value}"' for key, value in given.items()]
        (tmp_path / "grid.toml").write_text("\n".join([*lines, "[grid]", grid]))
        folder, results = tmp_path / "runs", tmp_path / "kept"
        return ["sweep", str(tmp_path / "grid.toml"), "--to", str(folder), f"results={results}"]

    return write


def test_a_grid_becomes_methods_of_one_run_and_runs_of_what_all_share(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        'methods = ["fedbn", "mine"]\n[method.mine]\nbase = "consilium"\ntrain.lr = 0.5\n'
        "[grid]\nseeds = [3, 4]\ntrain.max-steps = [1, 2]\nphantom.shift = [0, 1.5]\n"
    )
    found = read_sweep(file, {})
    assert [run.name for run in found.runs] == ["phantom.shift=0.0", "phantom.shift=1.5"]
    study = found.runs[1].study
    names = ["fedbn-max-steps-1", "fedbn-max-steps-2", "mine-max-steps-1", "mine-max-steps-2"]
    assert list(study.by_method) == names and study.common.seeds == (3, 4)
    assert study.common.phantom.shift == 1.5
    assert [config.train.max_steps for config in study.by_method.values()] == [1, 2, 1, 2]
    mine = study.by_method["mine-max-steps-2"]
    assert mine.train.lr == 0.5 and mine.contrast.memory_size == 512
    assert found.runs[1].points[names[3]] == {"phantom.shift": 1.5, "train.max-steps": 2}


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ("train.lt = [1]", "there is no setting 'train.lt'"),
        ("train.lr = 0.1", "a list of one value or more is needed"),
        ("train.lr = []", "a list of one value or more is needed"),
        ("train.lr = [0.1, 0.10]", "none of them twice"),
        ("train.lr = [-1]", "below its least value"),
        ('name = ["a", "b"]', "a sweep has one name"),
    ],
)
def test_a_wrong_grid_is_one_sentence(tmp_path: Path, grid: str, sentence: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(f"[grid]\n{grid}\n")
    with pytest.raises(UserError, match=sentence):
        read_sweep(file, {})


def test_a_folder_of_one_run_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[grid]\nseeds = [0, 1]\n")
    with pytest.raises(UserError, match=r"with --to FOLDER"):
        read_sweep(tmp_path / "a.toml", {"folder": "runs/mine"})


def test_a_sweep_is_cut_off_goes_on_and_adds_up(
    sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = sweep("contrast.memory-size = [0, 64]\nseeds = [0, 1]", methods="consilium")
    assert main([*words, "--dry-run"]) == 0
    assert "1 runs, 4 cells in all" in capsys.readouterr().out and not (tmp_path / "runs").exists()
    with monkeypatch.context() as patch:
        patch.setattr("federated.engine.running.load_app", load_with(cut_after(2 + 10 + 5)))
        with pytest.raises(PowerCutError):
            main([*words, "--quiet"])
    kept = tmp_path / "kept"
    assert [path.parent.name for path in kept.glob("all/*/cell.toml")] == [
        "consilium-memory-size-0-seed-0"
    ]
    assert main([*words, "--quiet"]) == 0
    assert len(list(kept.glob("all/*/cell.toml"))) == 4
    cell = kept / "all" / "consilium-memory-size-64-seed-1"
    facts = tomllib.loads((cell / "cell.toml").read_text())
    assert facts["grid"] == {"contrast.memory-size": 64}
    assert facts["settings"]["contrast.memory-size"] == 64 and len(facts["code_sha256"]) == 64
    assert facts["trained"]["phantom-1"]["steps"] == 2 * 2
    assert not any("folder" in key or "cache" in key for key in facts["settings"])
    # Whoever has the scores has the AUC, and the table is the mean over seeds.
    scores, metrics = (pd.read_csv(cell / f"{name}.csv") for name in ("scores", "metrics"))
    asked = "site == 'phantom-2' and model == 'final' and split == 'test' and metric == 'auc'"
    own = scores[scores["site"] == "phantom-2"]
    expected = roc_auc_score(own["label"], own["final"])
    np.testing.assert_allclose(metrics.query(asked)["value"], expected, rtol=1e-12)
    assert own["group"].min() == 0 and set(facts["thresholds"]["phantom-2"]) == {"kept", "final"}
    table = pd.read_csv(tmp_path / "runs" / "table.csv")
    aucs = table.query(f"{asked} and method == 'consilium-memory-size-64'")["value"]
    found = numbers(kept).query(
        "model == 'final' and site == 'phantom-2' and metric == 'auc' "
        "and method == 'consilium-memory-size-64'"
    )
    np.testing.assert_allclose(found[["mean", "sd"]].iloc[0], [aucs.mean(), aucs.std()])
    assert len(aucs) == 2 and set(table["contrast.memory-size"]) == {0, 64}
    assert latex(table_of(kept, "final")).count(r"\\") == 1 + 2
    assert f"{aucs.mean():.3f} ± {aucs.std():.3f}" in (kept / "table.md").read_text()
    # The page holds the same table, and nothing of it is lost when it is written again.
    text = f"before {page.BEGIN} STALE {page.END} after"
    once = page.written(text, tmp_path)
    assert once.startswith("before ") and once.endswith(" after") and "STALE" not in once
    assert (kept / "table.md").read_text() in once and page.written(once, tmp_path) == once


def test_kept_scores_give_the_intervals_of_the_run_itself(sweep: Any, tmp_path: Path) -> None:
    assert main([*sweep("seeds = [0, 1]", methods="local,fedavg"), "--quiet"]) == 0
    kept, run = tmp_path / "kept", load(tmp_path / "runs" / "all")
    (models,) = scored_cells(kept, "kept").values()
    whole = {(one.site, one.method): one for one in scored([run], "kept")}
    assert len(models) == len(whole) == 4
    for one in models:
        other = whole[one.site, one.method]
        assert one.is_grouped and one.mean_auc == other.mean_auc
        np.testing.assert_array_equal(one.thresholds, other.thresholds)
        np.testing.assert_array_equal(one.scores, other.scores)
    compare = compare_of(kept)
    assert compare == run.study.common.compare
    levels, differences = interval_tables(models, compare)
    assert list(levels["method"]) == ["local", "fedavg"] * 2
    verdicts = against(list(whole.values()), "local", compare)["verdict"]
    assert list(differences["verdict"]) == list(verdicts)
    assert (kept / "table.md").read_text().count("Holm's correction") == 1


def test_names_of_images_that_are_numbers_stay_names(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", images="0")
    (table,) = predictions_of(run, ("fedavg", run.study.common.seeds[0]), "birch").values()
    groups = {f"0{number}": f"patient {number % 3}" for number in range(30)}
    scores = scores_of("birch", {"kept": table}, groups)
    assert list(scores["group"]) == [number % 3 for number in range(30)]
    assert scores_of("birch", {"kept": table}, {})["group"].isna().all()


def test_a_cell_that_stops_is_retried_and_named(
    sweep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []

    def client(message: Message, context: Context) -> Message:
        order = unpack_order(message)
        if order.method == "fedavg" and order.round == 2:
            tries.append(order.round)
            return Message(Error(0, "it failed"), reply_to=message)
        return client_app(message, context)

    words = sweep("seeds = [0]", methods="fedavg,fedbn")
    monkeypatch.setattr("federated.engine.running.load_app", load_with(client))
    assert main([*words, "--quiet"]) == 2
    told = capsys.readouterr()
    assert "1 cells did not end (all: fedavg seed 0)" in told.err and "0 of 2 sites" in told.err
    assert len(tries) == 2 * 2  # both sites, and once more
    assert "| fedbn" in told.out and "| fedavg" not in told.out


@pytest.mark.slow  # it draws thousands of samples for each of hundreds of models
def test_the_page_of_results_is_what_lies_beside_it() -> None:
    assert page.main(["--check"]) == 0


@pytest.mark.parametrize(
    "path",
    [ROOT / "configs/paper-table.toml", *sorted((ROOT / "configs/ablations").glob("*.toml"))],
)
def test_the_sweeps_of_the_paper_are_well_formed(path: Path) -> None:
    for planned in read_sweep(path, {"data.folder": "anywhere"}).runs:
        assert planned.study.cells()
        assert all(c.train.precision == "fp32" for c in planned.study.by_method.values())
