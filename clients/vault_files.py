"""The files of a vault: what they are called, and which of them nobody needs any more."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from federated.storage import (
    DamagedFileError,
    hand_over,
    hand_over_tensors,
    read_facts,
    remove_tensors,
)

VERSIONS_KEPT = 3
"""The state that a round starts from, and that of the round before, must outlive the round: so that
both can be repeated, should another site's newest state be damaged."""

_VERSION = re.compile(r"round-(\d{6})\.json")
_KEPT = re.compile(r"kept-(\d{6})\.json")


def kept_name(round: int) -> str:
    """Return the name of the model kept in a round."""
    return f"kept-{round:06d}"


def version_path(folder: Path, round: int) -> Path:
    """Return where the tensors of a version lie."""
    return folder / f"round-{round:06d}.safetensors"


def model_path(folder: Path, name: str) -> Path:
    """Return where a model of that name lies."""
    return folder / f"{name}.safetensors"


def table_path(folder: Path, name: str) -> Path:
    """Return where the predictions of a model of that name lie."""
    return folder / ("predictions-final.csv" if name == "final" else f"{name}.csv")


def names_in(folder: Path) -> list[str]:
    """Return the names of all files of a vault."""
    # Not iterdir, which makes a path of each name and costs four times as much.
    return os.listdir(folder)  # noqa: PTH208


def versions(names: Iterable[str]) -> list[int]:
    """Return the rounds of the versions among ``names``, ascending."""
    return _numbers(_VERSION, names)


def forget(folder: Path, round: int, facts: Mapping[str, Any], *, reuses: bool) -> None:
    """Give up what nobody needs any more once ``round`` is written with ``facts``.

    If it ``reuses`` files, the youngest version given up is written over, and the youngest kept
    model stays as a spare for the next one.
    """
    names = names_in(folder)
    rounds = versions(names)
    old = [r for r in rounds if r < round][: 1 - VERSIONS_KEPT]
    if old and reuses and round not in rounds:
        hand_over_tensors(version_path(folder, old.pop()), version_path(folder, round))
    for given_up in old:
        remove_tensors(version_path(folder, given_up))
    kept, spares = _numbers(_KEPT, names), int(reuses)
    if len(kept) > 1 + spares:
        named = _named(folder, (r for r in rounds if r not in old)) | {_kept_round(facts)}
        unnamed = [r for r in kept if r not in named]
        for given_up in unnamed[: len(unnamed) - spares]:
            table_path(folder, kept_name(given_up)).unlink(missing_ok=True)
            remove_tensors(model_path(folder, kept_name(given_up)))


def take_spare(folder: Path, name: str) -> None:
    """Let a kept model that no version names be written over as a new one."""
    names = names_in(folder)
    kept = _numbers(_KEPT, names)
    if len(kept) > 1 and f"{name}.json" not in names:
        unnamed = set(kept) - _named(folder, versions(names))
        if unnamed:
            spare = kept_name(max(unnamed))
            hand_over(table_path(folder, spare), table_path(folder, name))
            hand_over_tensors(model_path(folder, spare), model_path(folder, name))


def _named(folder: Path, rounds: Iterable[int]) -> set[int]:
    """Return the rounds of the models that versions name; 0 for none."""
    named = set()
    for round in rounds:
        with suppress(DamagedFileError, FileNotFoundError):
            named.add(_kept_round(read_facts(version_path(folder, round))[0]))
    return named


def _kept_round(facts: Mapping[str, Any]) -> int:
    return int(facts.get("kept", {}).get("round", 0))


def _numbers(pattern: re.Pattern[str], names: Iterable[str]) -> list[int]:
    return sorted(int(name[1]) for name in map(pattern.fullmatch, names) if name)
