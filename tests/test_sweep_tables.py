"""A sweep's tables over many hospitals: by hand, from scores whose AUC is plain."""

from pathlib import Path

import numpy as np
import pytest

from federated.config.evaluation import Compare
from federated.statistics.scored import Scored
from federated.sweeps.intervals import across_tables
from federated.sweeps.tables import SHOWN, effort_text, table_of

LABELS = np.array([0, 1] * 10)
RIGHT, BLIND = LABELS.astype(float), np.full(20, 0.5)
"""Scores whose AUC is 1, and 0.5."""


def model(site: str, method: str, scores: np.ndarray) -> Scored:
    return Scored(
        site=site,
        method=method,
        seeds=(0,),
        images=tuple(map(str, range(20))),
        labels=LABELS,
        scores=scores[np.newaxis],
        groups=np.arange(20),
        is_grouped=False,
        thresholds=np.array([0.5]),
    )


SITES = {"a": (BLIND, RIGHT), "b": (RIGHT, BLIND), "c": (RIGHT, RIGHT)}
"""Scores alone and federated: the first gains 0.5, the second loses it, the third is the same."""


def test_over_all_sites_there_are_means_and_a_count_of_each_verdict() -> None:
    models = [
        model(site, method, scores)
        for site, both in SITES.items()
        for method, scores in zip(("local", "fedbn"), both, strict=True)
    ]
    levels, verdicts = across_tables(models, Compare())
    fedbn = levels.set_index("method").loc["fedbn"]
    assert (fedbn["mean AUC"], fedbn["worst"]) == ("0.833", "0.500 (b)")
    assert fedbn["best − worst"] == "0.500"
    assert list(verdicts["method"]) == ["fedbn"]
    told = verdicts.iloc[0]
    assert (told["pairs of site and seed"], told["better in"]) == ("3", "1")
    assert told["mean difference in AUC"] == "+0.000"
    counted = {name: told[name] for name in ("better", "not worse", "undecided", "worse")}
    assert counted == {"better": "1", "not worse": "1", "undecided": "0", "worse": "1"}


def test_two_sites_have_no_tables_over_all_of_them() -> None:
    assert across_tables([model(s, "local", RIGHT) for s in "ab"], Compare()) == []


def test_without_the_reference_there_are_means_alone() -> None:
    assert len(across_tables([model(s, "fedbn", RIGHT) for s in "abc"], Compare())) == 1


@pytest.mark.parametrize("sites", [4, 5])
def test_of_many_sites_a_table_has_the_auc_alone(tmp_path: Path, sites: int) -> None:
    cell = tmp_path / "all" / "local-seed-0"
    cell.mkdir(parents=True)
    cell.joinpath("cell.toml").write_text(
        'method = "local"\nbase = "local"\nseed = 0\nrun = "all"\n[grid]\n[settings]\n'
    )
    lines = [f"s{k},test,kept,{m},0.{k + 5},9" for k in range(sites) for m in SHOWN]
    header = "site,split,model,metric,value,num_examples"
    cell.joinpath("metrics.csv").write_text("\n".join([header, *lines]) + "\n")
    table = table_of(tmp_path, "kept")
    assert len(table.columns) == 2 + sites * (len(SHOWN) if sites < 5 else 1)
    assert table[f"s{sites - 1} AUC"].iloc[0].startswith(f"0.{sites + 4}00")


def trained(folder: Path, method: str, steps: dict[str, int]) -> None:
    cell = folder / "all" / f"{method}-seed-0"
    cell.mkdir(parents=True)
    lines = [f'method = "{method}"', f'base = "{method}"', "seed = 0", 'run = "all"']
    lines += ["[grid]", "[settings]"]
    for site, count in steps.items():
        lines += [f"[trained.{site}]", f"steps = {count}", f"images_seen = {32 * count}"]
    cell.joinpath("cell.toml").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("local", "fedbn", "sentence"),
    [
        (
            {"a": 300, "b": 300},
            {"a": 300, "b": 300},
            "Training of each cell: each of 2 hospitals 300 optimiser steps and 9,600 images seen.",
        ),
        (
            {"a": 300, "b": 200, "c": 300},
            {"a": 300, "b": 200, "c": 300},
            "Training of each cell: a, c 300 optimiser steps and 9,600 images seen; b 200 "
            "optimiser steps and 6,400 images seen.",
        ),
        (
            {"a": 300, "b": 300},
            {"a": 300, "b": 100},
            "WARNING: not all cells trained equally long: a 300 optimiser steps and 9,600 images "
            "seen; b 100 to 300 optimiser steps and 3,200 to 9,600 images seen.",
        ),
    ],
)
def test_steps_and_images_are_told_once_for_sites_that_trained_alike(
    tmp_path: Path, local: dict[str, int], fedbn: dict[str, int], sentence: str
) -> None:
    trained(tmp_path, "local", local)
    trained(tmp_path, "fedbn", fedbn)
    assert effort_text(tmp_path) == sentence


def test_of_many_sites_that_trained_alike_twelve_are_named(tmp_path: Path) -> None:
    steps = {f"s{k:02}": 300 for k in range(13)} | {"t": 1}
    trained(tmp_path, "local", steps)
    assert ", s10, s11 and 1 more 300 optimiser steps" in effort_text(tmp_path)


def test_of_many_sites_that_all_trained_differently_twelve_are_told_of(tmp_path: Path) -> None:
    trained(tmp_path, "local", {f"s{k:02}": k + 1 for k in range(15)})
    told = effort_text(tmp_path)
    assert told.endswith("s11 12 optimiser steps and 384 images seen; and 3 hospitals more.")
