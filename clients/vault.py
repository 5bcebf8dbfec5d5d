"""The vault: a folder of the site's own, where everything private lives between messages.

Flower's ``context.state`` would be pickled with every message and is silently empty after a node
restarts; a site's batch norm and memory must outlive both.

    VAULT/
      round-000007.safetensors   private tensors as they were when round 7 ended
      round-000007.json          facts, among them which model is kept, and a SHA-256 over both;
                                 written last, it makes the version count
      kept-000005.safetensors    the model that the site keeps by keep.rule, of round 5
      kept-000005.json, .csv     its facts, and its probabilities per image; they never leave. In a
                               simulation one more may lie here, whose files the next will take
      final.safetensors, .json   what the site uses in the end, personalised or not
      predictions-final.csv      its probabilities per image
      predictions-kept.csv       those of the kept model, in the views of the end

A version names the model that was kept when its round ended, so that a repeated round repeats the
choice too. Every file knows whose it is: run, site, method and seed.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clients.private_folder import VaultError
from clients.vault_files import (
    forget,
    kept_name,
    model_path,
    names_in,
    table_path,
    take_spare,
    version_path,
    versions,
)
from federated.storage import (
    DamagedFileError,
    read_tensors,
    sweep,
    write_bytes,
    write_facts,
    write_tensors,
)

TABLE_DIGEST = "predictions_sha256"
"""Fact of a model: SHA-256 of the CSV beside it."""


def is_void(round: int, void: str) -> bool:
    """Return whether ``round`` is in ``void``: rounds and spans of them, such as ``3-7,9``."""
    for span in filter(None, void.split(",")):
        first, _, last = span.partition("-")
        if int(first) <= round <= int(last or first):
            return True
    return False


class Vault:
    """Private state of one site under one method and seed.

    Args:
        folder: As ``private_folder`` made it.
        lineage: Whose it is: run, site, method and seed.
        sync: Whether each version outlives a loss of power from the moment that it is written, as
            it must where nobody else waits for it. In a simulation the server does, for all sites
            of the run at once, before it counts a round as done.
    """

    def __init__(self, folder: Path, lineage: Mapping[str, Any], *, sync: bool = True) -> None:
        self.folder = folder
        self.lineage = dict(lineage)
        self._sync = sync

    @property
    def is_alone(self) -> bool:
        """Whether it is a hospital's own, and no folder of a simulation."""
        return self._sync

    def load(
        self, before: int, void: str = "", *, after: int = 0
    ) -> tuple[dict[str, Tensor], dict[str, Any], int]:
        """Return the newest tensors and facts of a round earlier than ``before``, and that round.

        A site that never took part gets empty ones of round 0.

        Args:
            before: The round after the last whose state may be read.
            void: Rounds whose state is passed over, as in an order.
            after: The oldest round that the state may be of; it may be newer where the server never
                heard of a round that the site had ended.

        Raises:
            VaultError: the state is missing, damaged, of another round or of another run.
        """
        names = names_in(self.folder)
        if any(name.startswith(".") for name in names):
            sweep(self.folder)
            names = names_in(self.folder)
        rounds = [r for r in versions(names) if r < before and not is_void(r, void)]
        newest = max(rounds, default=0)
        if newest < after:
            raise VaultError(
                f"{self.folder} ends with round {newest}, and the federation went on from round "
                f"{after}: it was deleted, or an older copy was put in its place"
            )
        if not rounds:
            return {}, {}, 0
        tensors, facts = self._read(version_path(self.folder, newest))
        return tensors, facts, newest

    def save(
        self,
        round: int,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        keep_all: bool = False,
    ) -> None:
        """Write the state as it is when ``round`` ends, and forget what no one can need.

        With ``keep_all`` nothing is forgotten: later rounds may be declared void.
        """
        if not keep_all:
            forget(self.folder, round, facts, reuses=self._reuses)
        write_tensors(
            version_path(self.folder, round), tensors, self._whole(round, facts), sync=self._sync
        )

    def note(self, round: int, facts: Mapping[str, Any]) -> None:
        """Write other facts of the state of ``round``, whose tensors stay.

        Raises:
            VaultError: the state is damaged.
        """
        try:
            write_facts(
                version_path(self.folder, round), self._whole(round, facts), sync=self._sync
            )
        except (DamagedFileError, FileNotFoundError) as error:
            raise VaultError(str(error)) from error

    def _whole(self, round: int, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {**facts, "round": round, **self.lineage}

    @property
    def _reuses(self) -> bool:
        """Whether files are written over: not where a loss of power could bring back a name only.

        In a simulation the checkpoint names the rounds that count, and none of them is written over
        before it has been followed by two that do.
        """
        return not self._sync

    def write_model(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        table: str,
        *,
        keep_all: bool = False,
    ) -> None:
        """Write a whole model, batch norm included, and the CSV of its predictions.

        Args:
            name: ``kept-000005``, or ``final``.
            tensors: Its state.
            facts: JSON values.
            table: Probabilities per image; they never leave the site.
            keep_all: As for ``save``.
        """
        content = table.encode()
        if self._reuses and not keep_all:
            take_spare(self.folder, name)
        write_bytes(table_path(self.folder, name), content, sync=self._sync)
        digest = {TABLE_DIGEST: hashlib.sha256(content).hexdigest()}
        whole = {**facts, **self.lineage, **digest}
        write_tensors(model_path(self.folder, name), tensors, whole, sync=self._sync)

    def write_predictions(self, model: str, table: str) -> None:
        """Write the probabilities per image of a model at the end; they never leave the site."""
        write_bytes(self.folder / f"predictions-{model}.csv", table.encode())

    def kept_model(
        self, before: int, void: str = ""
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return state and facts of the model kept by the newest version, None if there is none.

        Args:
            before: As for ``load``.
            void: As for ``load``.

        Raises:
            VaultError: it is damaged or of another run.
        """
        _, facts, _ = self.load(before, void)
        if "kept" not in facts:
            return None
        name = kept_name(facts["kept"]["round"])
        state, kept = self._read(model_path(self.folder, name))
        table = table_path(self.folder, name)
        content = table.read_bytes() if table.exists() else b""
        if hashlib.sha256(content).hexdigest() != kept[TABLE_DIGEST]:
            raise VaultError(f"{table} is damaged: its SHA-256 is not the recorded one")
        return state, kept

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        try:
            tensors, facts = read_tensors(path)
        except (DamagedFileError, FileNotFoundError) as error:
            raise VaultError(str(error)) from error
        for name, value in self.lineage.items():
            if facts.get(name) != value:
                raise VaultError(
                    f"{path} is of {name} {facts.get(name)!r} and not of {value!r}: a vault goes "
                    "on only with what it was made for"
                )
        return tensors, facts
