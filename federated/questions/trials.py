"""The runs behind an answer: each in a folder of its own, run once, resumed if it was cut off."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from federated.config.given import Given, with_scenario
from federated.config.study import parse, same_numbers
from federated.data import prepare
from federated.engine import check, run
from federated.errors import UserError
from federated.runs.reading import Run, load


def the_method(given: Given) -> str:
    """Return the one method that the question is about: the only one besides ``local``.

    Raises:
        UserError: there is none, or more than one.
    """
    methods = [name for name in parse(given).common.methods if name != "local"]
    if len(methods) != 1:
        raise UserError(
            f"methods = {', '.join(methods) or 'local'}: this question is about one method besides "
            "local; name it with methods=NAME."
        )
    return methods[0]


def ready(given: Given) -> None:
    """Check the configuration and fill the cache before the first trial."""
    study = parse(given)
    check(study)
    prepare(study.common)


def trial(given: Given, folder: Path, told: Mapping[str, Any]) -> Run:
    """Return the run of ``given`` with the settings ``told``, from ``folder`` if it is there.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    settings = {**with_scenario(given), **told, "folder": str(folder.absolute())}
    if not (folder / "config.toml").exists() or not _ended(folder, settings):
        print(f"  run: {folder}", file=sys.stderr, flush=True)
        run(settings)
    return load(folder)


def _ended(folder: Path, settings: Given) -> bool:
    events = load(folder).events
    if "run-ended" not in set(events["kind"]):
        return False
    if not same_numbers(load(folder).study, parse(settings)):
        raise UserError(f"{folder} holds a run with other settings; name another folder with --to.")
    return True


def final_auc(finished: Run, method: str, split: str = "test") -> pd.Series:
    """Return each hospital's AUC of the model it kept by validation, the mean over seeds."""
    return kept_auc(finished, method, split).groupby("site")["auc"].mean()


def kept_auc(finished: Run, method: str, split: str) -> pd.DataFrame:
    """Return each kept model's AUC: columns seed, site, auc; empty if none was kept."""
    frame = finished.metrics[finished.metrics["method"] == method]
    kept = frame[(frame["metric"] == "auc") & (frame["model"] == "kept")]
    kept = kept.loc[kept["split"] == split, ["seed", "site", "value"]]
    return kept.rename(columns={"value": "auc"})


def table_text(table: pd.DataFrame, digits: Sequence[int]) -> str:
    """Return a table as aligned text; numbers with as many decimals as said, undefined as -."""
    text = table.copy()
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    for name, places in zip(numbers, digits, strict=True):
        text[name] = [f"{v:.{places}f}" if pd.notna(v) else "-" for v in table[name]]
    return text.to_string(index=False)
