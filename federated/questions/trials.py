"""The runs behind an answer: each in a folder of its own, run once, resumed if it was cut off."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from federated.config.given import Given, with_scenario
from federated.config.identity import same_numbers
from federated.config.presets import ALONE
from federated.config.study import parse
from federated.data import prepare
from federated.engine import carry_out, check
from federated.engine.threads import planned
from federated.errors import UserError
from federated.runs.folder import RunFolder
from federated.runs.reading import Run, load


def the_method(given: Given) -> str:
    """Return the one method that the question is about: the only one besides ``local``.

    Raises:
        UserError: there is none, or more than one.
    """
    methods = [name for name in parse(given).common.methods if name != ALONE]
    if len(methods) != 1:
        raise UserError(
            f"methods = {', '.join(methods) or ALONE}: this question is about one method besides "
            "local; name it with methods=NAME."
        )
    return methods[0]


def ready(given: Given) -> None:
    """Check the configuration and fill the cache before the first trial."""
    study = parse(given)
    check(study)
    prepare(study.common)


def trial(given: Given, folder: Path, changes: Mapping[str, Any]) -> Run:
    """Return the run of ``given`` with some changes, from ``folder`` if it is there.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    settings = {**with_scenario(given), **changes, "folder": str(folder.absolute())}
    if not RunFolder(folder).config.exists() or not _is_done(load(folder), settings):
        began = time.monotonic()
        print(f"  runs: {folder} …", end="", file=sys.stderr, flush=True)
        carry_out(settings)
        print(f" {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return load(folder)


def _is_done(earlier: Run, settings: Given) -> bool:
    if not earlier.has_ended:
        return False
    if not same_numbers(earlier.study, planned(parse(settings), earlier.folder)):
        raise UserError(
            f"{earlier.folder} holds a run with other settings; name another folder with --to."
        )
    return True


def final_auc(finished: Run, method: str, split: str = "test") -> pd.Series:
    """Return each hospital's AUC of the model it kept by validation, the mean over seeds."""
    return kept_auc(finished, method, split).groupby("site")["auc"].mean()


def kept_auc(finished: Run, method: str, split: str) -> pd.DataFrame:
    """Return each kept model's AUC: columns seed, site, auc; empty if none was kept."""
    kept = finished.values("auc", split, "kept")
    kept = kept.loc[kept["method"] == method, ["seed", "site", "value"]]
    return kept.rename(columns={"value": "auc"})
