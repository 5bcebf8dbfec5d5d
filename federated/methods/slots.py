"""Slots: how hospitals tell each other numbers of each, where the server only adds up.

A tensor of a group has a slot for every hospital of the run, in the order of their names. Each
fills its own and leaves zeros in the others, and 1 in its slot of ``known``; the mean over both
tells the server, and from the next round on every hospital, what each has filled in. Whatever is in
a slot leaves the hospital under its name, and every other hospital reads it.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from federated.config.schema import Config
from federated.data import site_names
from federated.errors import UserError
from federated.methods.seam import ServerRound

KNOWN = "known"
Float64 = npt.NDArray[np.float64]


def slots(config: Config, method: str) -> int:
    """Return how many slots there are: one a hospital.

    Raises:
        UserError: noise on all slots would tell of hospitals that are not there.
    """
    if config.privacy.unit == "site":
        raise UserError(
            f"{method} sends numbers of each hospital by itself, which privacy.unit = site would "
            "drown in noise; leave one of them out."
        )
    return len(site_names(config))


def place_of(config: Config, site: str) -> int:
    """Return which slot is a hospital's.

    Raises:
        UserError: the run does not know it by name.
    """
    names = site_names(config)
    if site not in names:
        raise UserError(f"{site} is none of {', '.join(names)}: set sites to all hospitals' names.")
    return names.index(site)


def in_slot(tensor: Tensor, place: int, count: int) -> Tensor:
    """Return ``tensor`` in one of ``count`` slots: (count, ...), zeros elsewhere."""
    filled = torch.zeros((count, *tensor.shape), dtype=torch.float32)
    filled[place] = tensor.detach().cpu()
    return filled


def told(round: ServerRound, group: str, name: str) -> Float64:
    """Return what hospitals have filled in, of this round or else of the last that they were in."""
    weights = np.asarray(round.mean[f"{group}/{KNOWN}"], np.float64)
    filled, there = np.asarray(round.mean[f"{group}/{name}"], np.float64), weights > 0
    made = np.asarray(round.before[f"{group}/{name}"], np.float64).copy()
    made[there] = filled[there] / weights[there].reshape(-1, *[1] * (filled.ndim - 1))
    return made


def known(round: ServerRound, group: str) -> Float64:
    """Return (K,) 1 for each hospital that has ever filled in its slot."""
    name = f"{group}/{KNOWN}"
    before, now = (np.asarray(part[name], np.float64) for part in (round.before, round.mean))
    return ((before > 0) | (now > 0)).astype(np.float64)
