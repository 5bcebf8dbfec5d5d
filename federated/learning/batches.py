"""From grey uint8 images to training batches, as whole tensors; no loop over images."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from federated.config.training import Train
from federated.learning.augmentation import Show, training_view
from federated.learning.normalising import normalise, normalise_levels


@dataclass(frozen=True)
class Images:
    """A split: uint8 pixels (N, R, R), labels (N,), and the side of the network's input."""

    pixels: npt.NDArray[np.uint8]
    labels: Tensor
    size: int

    def __len__(self) -> int:
        return len(self.labels)


class Batch(NamedTuple):
    """A batch of B images on the device: inputs (B, 3, S, S), classes (B,), numbers (B,)."""

    x: Any
    labels: Tensor
    ids: Tensor


def epoch_order(labels: npt.NDArray[np.int64], sampling: str, generator: torch.Generator) -> Tensor:
    """Return the order in which an epoch visits the images.

    Args:
        labels: (N,) classes.
        sampling: ``natural``: a permutation of all images. ``balanced``: N draws in which every
            class that is present is equally likely, with replacement.
        generator: Source of randomness.

    Returns:
        int64 (N,).
    """
    if sampling == "natural":
        return torch.randperm(len(labels), generator=generator)
    weights = 1.0 / torch.bincount(torch.from_numpy(labels))[torch.from_numpy(labels)]
    return torch.multinomial(weights, len(labels), replacement=True, generator=generator)


def batch_slices(count: int, batch_size: int) -> list[slice]:
    """Cut ``count`` images into batches so that each image is used and none is alone.

    A last batch of one has no batch statistics and no positive pair, so it joins the one before.
    """
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of batches of ``batch_slices``."""
    return len(batch_slices(count, batch_size))


def evaluation_batch(images: Tensor, size: int) -> Tensor:
    """Return a normalised batch of whole images, resized to ``size`` (antialiased bilinear).

    Args:
        images: uint8 (B, R, R).
        size: Side S of the network's input.

    Returns:
        float32 (B, 3, S, S).
    """
    if images.shape[1] == size:
        return normalise_levels(images)
    resized = F.interpolate(
        images.float().unsqueeze(1),
        (size, size),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return normalise(resized.squeeze(1))


def evaluation_slices(count: int, batch_size: int) -> Iterator[slice]:
    """Yield the slices of an evaluation pass; a lone image is fine there."""
    for index in range(math.ceil(count / batch_size)):
        yield slice(index * batch_size, min((index + 1) * batch_size, count))


def load_batch(
    images: Images, ids: Tensor, device: torch.device, show: Show | None
) -> tuple[Tensor, Tensor]:
    """Return inputs (B, 3, S, S), as ``show`` has them or whole, and labels (B,) on ``device``."""
    ids = ids.cpu()  # a memory on a GPU asks for its images too
    pixels = torch.from_numpy(images.pixels[ids.numpy()]).to(device, non_blocking=True)
    x = (show or evaluation_batch)(pixels, images.size)
    return x.contiguous(memory_format=torch.channels_last), images.labels[ids].to(device)


def steps_of_round(count: int, train: Train) -> int:
    """Return the optimiser steps of a round over ``count`` images.

    Exactly ``max-steps`` where it is set, however few images there are; else ``local-epochs``.
    """
    return train.max_steps or train.local_epochs * steps_per_epoch(count, train.batch_size)


def endless(labels: Tensor, train: Train, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the image numbers of batch after batch, epoch after epoch, each newly shuffled."""
    while True:
        order = epoch_order(labels.numpy(), train.sampling, generator)
        yield from (order[batch] for batch in batch_slices(len(order), train.batch_size))


def round_batches(
    images: Images, train: Train, generator: torch.Generator, device: torch.device
) -> Iterator[Batch]:
    """Yield the batches of a round, ``steps_of_round`` of them.

    Args:
        images: The training split.
        train: Batch size, sampling, augmentation and length of the round.
        generator: CPU generator of batch order and augmentation.
        device: Where the batches go.
    """
    numbers = endless(images.labels, train, generator)
    for ids in islice(numbers, steps_of_round(len(images), train)):
        x, labels = load_batch(images, ids, device, training_view(train, generator))
        yield Batch(x, labels, ids)
