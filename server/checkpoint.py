"""What a round leaves behind so that the next one can follow, even in another process.

METHOD/seed-0/round-000007.safetensors, .json    weights, optimiser, choice so far
METHOD/seed-0/shared.safetensors, .json          weights of the round chosen on validation
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from federated.storage import DamagedFileError, read_tensors, remove_tensors, write_tensors
from server.rules import Arrays, ServerState

KEPT = 2
_VERSION = re.compile(r"round-(\d{6})\.json")


@dataclass(frozen=True)
class Progress:
    """How far a cell has come.

    Attributes:
        round: Last finished round, 0 before the first.
        best_round: Round whose mean validation score over the sites is the best so far.
        best_score: That score; None before the first, and without validation images.
        finished: Whether the sites' last steps are done too.
        sizes: Lengths of metrics.csv and events.jsonl at that moment, bytes.
    """

    round: int
    best_round: int
    best_score: float | None
    finished: bool
    sizes: Mapping[str, int]


def save(folder: Path, state: ServerState, progress: Progress) -> None:
    """Write a checkpoint and forget all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"weights/{name}": array for name, array in state.weights.items()}
    tensors |= {f"optimizer/{name}": array for name, array in state.optimizer.items()}
    write_tensors(_path(folder, progress.round), _as_torch(tensors), asdict(progress))
    for old in _rounds(folder)[:-KEPT]:
        remove_tensors(_path(folder, old))


def load(folder: Path) -> tuple[ServerState, Progress] | None:
    """Return the newest undamaged checkpoint, or None.

    A damaged one is passed over: the one before it repeats its round to the same bits.
    """
    for round in reversed(_rounds(folder)):
        try:
            tensors, facts = read_tensors(_path(folder, round))
        except (DamagedFileError, FileNotFoundError):
            continue
        parts: dict[str, dict[str, np.ndarray]] = {"weights": {}, "optimizer": {}}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor.numpy()
        return ServerState(parts["weights"], parts["optimizer"]), Progress(**facts)
    return None


def save_shared(folder: Path, weights: Arrays, round: int, score: float | None) -> None:
    """Write the shared weights that validation prefers."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"round": round, "validation_score": score}
    write_tensors(folder / "shared.safetensors", _as_torch(weights), facts)


def _as_torch(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}


def _path(folder: Path, round: int) -> Path:
    return folder / f"round-{round:06d}.safetensors"


def _rounds(folder: Path) -> list[int]:
    if not folder.exists():
        return []
    names = (_VERSION.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)
