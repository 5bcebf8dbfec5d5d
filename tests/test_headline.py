"""The numbers that the pages name first are those of docs/results/headline.csv."""

import re
from pathlib import Path

import pandas as pd
import pytest
from test_plots import full_rows, site_folder, write_predictions, write_run

from federated.config.given import read_config
from federated.report.headline import COLUMNS, MEAN, gain_text, headline, main
from federated.report.standing import standings

ROOT = Path(__file__).parent.parent
KEPT = pd.read_csv(ROOT / "docs" / "results" / "headline.csv")
GAIN = re.compile(r"[+-]\d\.\d{3} \[[+-]\d\.\d{3}, [+-]\d\.\d{3}\]")
SAID = [
    ("demo", "consilium", "README.md"),
    ("demo", "fedavg", "README.md"),
    ("demo", "consilium", "docs/LOG.md"),
    ("demo", "fedavg", "docs/LOG.md"),
    ("five-over-a-year", "consilium", "docs/ROLLOUTS.md"),
    ("five-over-a-year", "consilium", "docs/LOG.md"),
]


@pytest.mark.parametrize(("run", "method", "page"), SAID)
def test_a_page_names_the_number_of_the_table(run: str, method: str, page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert gain_text(KEPT, run, method) in text


def test_the_first_page_names_no_other_number() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    known = {gain_text(KEPT, run, method) for run, method, page in SAID if page == "README.md"}
    assert set(GAIN.findall(text)) == known


def test_the_table_is_of_three_seeds_in_pinned_precision() -> None:
    assert (KEPT["seeds"] == 3).all() and tuple(KEPT.columns) == COLUMNS
    for name, path in (("demo", "demo"), ("five-over-a-year", "rollouts/five-over-a-year")):
        given = read_config(ROOT / "configs" / f"{path}.toml")
        assert given["name"] == name and name in set(KEPT["run"])
        assert (given["train.precision"], given["engine.threads"]) == ("fp32", 1)
        assert given["seeds"] == [0, 1, 2]


def test_the_table_has_what_the_page_of_a_run_has(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", full_rows(seeds=(0, 1)), seeds=(0, 1), name="tulip")
    for place, site in enumerate(("alder", "birch")):
        for method in ("local", "fedavg", "consilium"):
            for seed in (0, 1):
                scores = [0.1, 0.7, 0.4 + place * seed, 0.9, 0.3 if method == "local" else 0.6]
                write_predictions(site_folder(run, site, method, seed), scores, [0, 1, 0, 1, 1])
    assert main([str(run.folder), "--to", str(tmp_path / "h.csv")]) == 0
    table = pd.read_csv(tmp_path / "h.csv")
    assert len(table) == 3 * 3 and set(table["run"]) == {"tulip"}
    found = standings(run).means["fedavg"]
    row = table[(table["method"] == "fedavg") & (table["site"] == MEAN)].iloc[0]
    assert row["difference"] == round(found.value, 4) and row["difference_low"] == round(
        found.low, 4
    )
    # Alone each places 0.3 below 0.4: 5 of 6 pairs; birch with seed 1 has 1.4 above all: 3 of 6.
    alone = table[(table["method"] == "local") & (table["site"] == "alder")].iloc[0]
    assert alone["auc"] == pytest.approx(5 / 6, abs=1e-4)
    mean = table[(table["method"] == "local") & (table["site"] == MEAN)].iloc[0]
    assert mean["auc"] == pytest.approx((5 / 6 + (5 / 6 + 3 / 6) / 2) / 2, abs=1e-4)


def test_a_run_with_nothing_to_compare_has_no_headline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, full_rows(methods=["fedavg"]), ["fedavg"])
    assert main([str(run.folder), "--to", str(tmp_path / "h.csv")]) == 2
    assert "has not tested two methods" in capsys.readouterr().err
    assert headline([]).empty
