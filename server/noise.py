"""The server's noise on the sites' mean, where ``privacy.where = server``."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from federated.dp.secrets import digest_of_all, kept_secret
from federated.dp.stream import Stream, derived, secret_of_seed
from server.cell import Cell

Float64 = npt.NDArray[np.float64]


def noised_mean(
    cell: Cell, mean: Mapping[str, Float64], weight: int, round: int
) -> dict[str, Float64]:
    """Return the mean of the sites' releases with noise on its float tensors.

    A hospital whose change, of a norm up to C, were none instead would move the mean by up to C
    times its share; so the noise has z times that for the heaviest hospital of the run.

    Args:
        cell: With the settings, and the weights of all hospitals.
        mean: Of the releases, by ``GROUP/NAME``.
        weight: Of those that are in it.
        round: The round's number.
    """
    privacy = cell.config.privacy
    if privacy.where != "server" or not privacy.noise:
        return dict(mean)
    heaviest = max(cell.train_images.values()) if cell.by_examples else 1
    deviation = privacy.noise * privacy.clip * heaviest / weight
    stream = Stream(derived(_secret(cell), cell.method, round, "mean", digest_of_all(mean)))
    return {
        name: part + deviation * stream.normals(part.shape) if _is_float(cell, name) else part
        for name, part in mean.items()
    }


def _is_float(cell: Cell, name: str) -> bool:
    return cell.boundary.by_name[name].dtype.startswith("float")


def _secret(cell: Cell) -> bytes:
    """Return the server's secret; in a simulation, unless told otherwise, it is the run's seed."""
    chosen = cell.config.privacy.randomness
    is_simulated = hasattr(cell.grid, "send_and_sum") and hasattr(cell.grid, "listener")
    if chosen == "seeded" or (chosen == "auto" and is_simulated):
        return secret_of_seed(cell.seed)
    return kept_secret(cell.folder)
