"""Where a hospital's model puts its test images: embeddings before and after training."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from federated.config.schema import Config
from federated.data.site import Split
from federated.errors import UserError
from federated.learning.batches import evaluation_slices
from federated.learning.evaluation import evaluation_batch_size, outputs
from federated.learning.network import network_of
from federated.runs.reading import Run
from federated.unseen.explained import middle_view
from federated.unseen.judged import last_images
from federated.unseen.models import network_with, site_state

Points = npt.NDArray[np.float64]

MOST_IMAGES = 60
"""Of one hospital; more points hide one another."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings of one hospital's test images, each of length 1 as the contrastive losses take it.

    Attributes:
        labels: (n,) classes.
        before: (n, d), of the network with its first weights.
        after: (n, d), of the method's model that was kept, which the hospital need not use in the
            end: maps of methods would be one map where it stays with its own.
    """

    labels: npt.NDArray[np.int64]
    before: Points
    after: Points


def embedded(run: Run, site: str, method: str, seed: int) -> Embedded:
    """Return the embeddings of up to ``MOST_IMAGES`` of a hospital's test images, evenly taken.

    Raises:
        UserError: its model or its images are not here, or the network returns no embedding.
    """
    state = site_state(run, site, method, seed, "kept")
    config, split = run.study.by_method[method], last_images(run, site)
    numbers = np.unique(np.linspace(0, len(split) - 1, MOST_IMAGES).round().astype(int)).tolist()
    before = _embeddings(network_of(config, seed).eval(), config, split, numbers)
    after = _embeddings(network_with(config, seed, state), config, split, numbers)
    return Embedded(split.labels[numbers], before, after)


@torch.no_grad()
def _embeddings(network: nn.Module, config: Config, split: Split, numbers: list[int]) -> Points:
    batch = evaluation_batch_size(config.data.image_size, torch.device("cpu"))
    parts = []
    for some in evaluation_slices(len(numbers), batch):
        _, z = outputs(network, middle_view(config, split, numbers[some]))
        if z is None:
            raise UserError(f"{config.model.name} returns no embedding beside its logits.")
        parts.append(F.normalize(z.double(), dim=1))
    return np.asarray(torch.cat(parts).numpy())
