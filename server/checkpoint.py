"""What a round leaves behind so that the next one can follow, even in another process.

METHOD/seed-0/round-000007.safetensors, .json    weights, optimiser, choice so far
METHOD/seed-0/shared.safetensors, .json          weights of the round that is kept
METHOD/seed-0/before-SITE.safetensors, .json     weights and optimiser from before it joined
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from federated.errors import UserError
from federated.exchange.sharing import WEIGHTS, as_group, group
from federated.storage import (
    DamagedFileError,
    read_tensors,
    remove_tensors,
    sweep,
    sync_disk,
    write_tensors,
)
from server.rows import Extent
from server.rules import Arrays, ServerState
from server.standing import Standing

KEPT = 2
_VERSION = re.compile(r"round-(\d{6})\.json")


@dataclass(frozen=True)
class Checkpoint:
    """How far a cell has come.

    Attributes:
        server: What the server has.
        sizes: Lengths and SHA-256 of the cell's own rows in each file of the run at that moment.
        standing: Where the cell stands in its rollout.
        round: Last finished round, 0 before the first.
        kept_round: Round whose weights are kept, by ``keep.rule`` and the mean validation score.
        kept_score: What they were judged by; None before the first, and if by nothing.
        scores: The mean validation score over the sites of the newest evaluations.
        finished: Whether the sites' last steps are done too.
    """

    server: ServerState
    sizes: Mapping[str, Extent]
    standing: Standing = field(default_factory=Standing)
    round: int = 0
    kept_round: int = 0
    kept_score: float | None = None
    scores: tuple[float | None, ...] = ()
    finished: bool = False

    def facts(self) -> dict[str, Any]:
        """Return as JSON values all but what the server has."""
        names = ("sizes", "round", "kept_round", "kept_score", "scores", "finished")
        return {name: getattr(self, name) for name in names} | {"standing": self.standing.facts()}


def save(folder: Path, checkpoint: Checkpoint, whose: Mapping[str, Any]) -> None:
    """Write a checkpoint of a run, method and seed, and forget all but the last two.

    First all that the sites of a simulation wrote until then is made to last: no power loss may
    leave a checkpoint that counts on a state which is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sync_disk(folder)
    tensors, facts = _as_torch(_flat(checkpoint.server)), checkpoint.facts()
    write_tensors(_path(folder, checkpoint.round), tensors, {**facts, "whose": dict(whose)})
    for old in _rounds(folder)[:-KEPT]:
        remove_tensors(_path(folder, old))


def load(folder: Path, whose: Mapping[str, Any], before: int | None = None) -> Checkpoint | None:
    """Return the newest undamaged checkpoint, or None if there never was one.

    A damaged one is passed over: the one before it repeats its round to the same bits.

    Args:
        folder: Of the cell.
        whose: Run, method and seed, as it must say.
        before: Only of a round before this one.

    Raises:
        UserError: all of them are damaged, or one is of another run.
    """
    if not folder.exists():
        return None
    sweep(folder)
    rounds = [round for round in _rounds(folder) if before is None or round < before]
    for round in reversed(rounds):
        try:
            tensors, facts = read_tensors(_path(folder, round))
        except (DamagedFileError, FileNotFoundError):
            continue
        check_lineage(_path(folder, round), facts.pop("whose", {}), whose)
        standing = Standing.from_facts(facts.pop("standing"))
        sizes = {name: (size, digest) for name, (size, digest) in facts.pop("sizes").items()}
        facts["scores"] = tuple(facts["scores"])
        return Checkpoint(_unflat(tensors), sizes=sizes, standing=standing, **facts)
    if rounds:
        raise UserError(
            f"all checkpoints in {folder} are damaged; put them back from a copy, or begin the run "
            "anew in another folder."
        )
    return None


def check_lineage(path: Path, found: Mapping[str, Any], whose: Mapping[str, Any]) -> None:
    """Refuse a file of another run, method or seed.

    Raises:
        UserError: naming what differs.
    """
    for name, value in whose.items():
        if found.get(name) != value:
            raise UserError(
                f"{path} is of {name} {found.get(name)!r} and not of {value!r}: it was put here "
                "from elsewhere; put the run's own checkpoint back, or begin the run anew."
            )


def save_before(folder: Path, site: str, server: ServerState) -> None:
    """Write what the server has just before ``site`` joins, to go back to if it is unlearned."""
    bare = ServerState(server.shared, server.optimizer)
    write_tensors(_before(folder, site), _as_torch(_flat(bare)), {})


def load_before(folder: Path, site: str) -> ServerState:
    """Return what the server had just before ``site`` joined."""
    return _unflat(read_tensors(_before(folder, site))[0])


def save_shared(folder: Path, shared: Arrays, round: int, score: float | None) -> None:
    """Write the shared weights that are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"round": round, "validation_score": score}
    write_tensors(folder / "shared.safetensors", _as_torch(group(shared, WEIGHTS)), facts)


def _before(folder: Path, site: str) -> Path:
    return folder / f"before-{site}.safetensors"


def _flat(server: ServerState) -> dict[str, np.ndarray]:
    """Return all tensors of a state by names such as ``releases/ROUND-SITE/weights/NAME``."""
    groups = {"optimizer": server.optimizer}
    groups |= {f"releases/{key}": arrays for key, arrays in server.releases.items()}
    groups |= {f"bases/{round}": arrays for round, arrays in server.bases.items()}
    parts = (as_group(arrays, name) for name, arrays in groups.items())
    return {**server.shared, **{key: array for part in parts for key, array in part.items()}}


def _unflat(tensors: Mapping[str, torch.Tensor]) -> ServerState:
    """Return the state that ``_flat`` took apart."""
    shared: dict[str, np.ndarray] = {}
    optimizer: dict[str, np.ndarray] = {}
    releases: dict[str, dict[str, np.ndarray]] = {}
    bases: dict[int, dict[str, np.ndarray]] = {}
    for key, tensor in tensors.items():
        kind, name = key.split("/", 1)
        owner, _, rest = name.partition("/")
        if kind == "optimizer":
            optimizer[name] = tensor.numpy()
        elif kind == "releases":
            releases.setdefault(owner, {})[rest] = tensor.numpy()
        elif kind == "bases":
            bases.setdefault(int(owner), {})[rest] = tensor.numpy()
        else:
            shared[key] = tensor.numpy()
    return ServerState(shared, optimizer, releases, bases)


def _as_torch(arrays: Arrays) -> dict[str, torch.Tensor]:
    # Copied: arrays out of a message are read-only, which torch warns of.
    return {name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}


def _path(folder: Path, round: int) -> Path:
    return folder / f"round-{round:06d}.safetensors"


def _rounds(folder: Path) -> list[int]:
    if not folder.exists():
        return []
    names = (_VERSION.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)
