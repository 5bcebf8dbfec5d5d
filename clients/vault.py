"""The vault: a folder of the site's own, where everything private lives between messages.

Flower's ``context.state`` would be pickled with every message and is silently empty after a node
restarts; a site's batch norm and memory must outlive both.

    VAULT/
      round-000007.safetensors   private tensors as they were when round 7 ended
      round-000007.json          their SHA-256 and facts; written last, it makes the version count
      kept.safetensors, .json    the round's model that the site's own validation images prefer
      kept-000007.safetensors    the same of an earlier round, where rounds may become void
      final.safetensors, .json   what the site uses in the end, personalised or not
      predictions-kept.csv       probabilities per image; they never leave the site
"""

import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from federated.storage import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    read_tensors,
    remove_tensors,
    write_bytes,
    write_tensors,
)

VERSIONS_KEPT = 2
"""The state a round starts from must outlive the round, so that the round can be repeated."""

_VERSION = re.compile(r"round-(\d{6})\.json")


def make_private_folder(folder: Path) -> None:
    """Create ``folder`` and the missing ones above it, each with mode 0700."""
    # mkdir(parents=True) would leave the folders above with the default mode.
    for level in (*reversed(folder.parents), folder):
        level.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


def log_failure(folder: Path, doing: str) -> None:
    """Append the exception being handled, with its traceback, to the log in a site's folder."""
    make_private_folder(folder)
    log = folder / "site.log"
    log.touch(PRIVATE_FILE)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat()} {doing}\n{traceback.format_exc()}\n")


def is_void(round: int, void: str) -> bool:
    """Return whether ``round`` is in ``void``: rounds and spans of them, such as ``3-7,9``."""
    for span in filter(None, void.split(",")):
        first, _, last = span.partition("-")
        if int(first) <= round <= int(last or first):
            return True
    return False


class Vault:
    """Private state of one site under one method and seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_private_folder(folder)

    def load(self, before: int, void: str = "") -> tuple[dict[str, Tensor], dict[str, Any], int]:
        """Return the newest tensors and facts of a round earlier than ``before``, and that round.

        A site that has none, because it is new or missed every round, gets empty ones of round 0.

        Args:
            before: The round after the last whose state may be read.
            void: Rounds whose state is passed over, as in an order.
        """
        rounds = [r for r in self._rounds() if r < before and not is_void(r, void)]
        if not rounds:
            return {}, {}, 0
        tensors, facts = read_tensors(self._path(max(rounds)))
        return tensors, facts, max(rounds)

    def save(
        self,
        round: int,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        keep_all: bool = False,
    ) -> None:
        """Write the state as it is when ``round`` ends, and forget versions no one can need.

        With ``keep_all`` none is forgotten: later rounds may be declared void.
        """
        write_tensors(self._path(round), tensors, facts)
        if keep_all:
            return
        for old in [r for r in self._rounds() if r <= round][:-VERSIONS_KEPT]:
            remove_tensors(self._path(old))

    def keep_model(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        keep_all: bool = False,
    ) -> None:
        """Write a whole model, batch norm included, under ``name``.

        With ``keep_all`` it is written once more under its round, for when later ones are void.
        """
        write_tensors(self.folder / f"{name}.safetensors", tensors, facts)
        if keep_all:
            write_tensors(self.folder / f"{name}-{facts['round']:06d}.safetensors", tensors, facts)

    def model(self, name: str, void: str = "") -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return a whole model's state and facts, or None if there is none of that name.

        If it is of a round in ``void``, the newest that is not.
        """
        named = [self.folder / f"{name}.json"]
        if void:
            named += sorted(self.folder.glob(f"{name}-[0-9]*.json"), reverse=True)
        for path in named:
            if path.exists():
                state, facts = read_tensors(path.with_suffix(".safetensors"))
                if not is_void(facts.get("round", 0), void):
                    return state, facts
        return None

    def write_predictions(self, name: str, table: str) -> None:
        """Write a CSV of predictions; it never leaves the site."""
        write_bytes(self.folder / f"{name}.csv", table.encode())

    def _path(self, round: int) -> Path:
        return self.folder / f"round-{round:06d}.safetensors"

    def _rounds(self) -> list[int]:
        names = (_VERSION.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(name[1]) for name in names if name)
