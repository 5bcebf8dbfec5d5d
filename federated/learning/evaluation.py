"""What is done to a network without training it: predict, embed, recalibrate its statistics."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.training import Train
from federated.exchange.norms import holds_statistics
from federated.learning.augmentation import training_view
from federated.learning.batches import Images, evaluation_slices, load_batch
from federated.learning.compute import Compute, autocast
from federated.learning.views import evaluation_views

BATCH_PIXELS = 2**19
"""Pixels of an evaluation batch on a CPU: its maps then stay in the cache. The full network at 224
px evaluates 25 images/s in batches of 10 and 16 in batches of 128, on one core."""
LARGEST_BATCH = 256


def evaluation_batch_size(size: int, device: torch.device) -> int:
    """Return how many images of ``size`` pixels a side are evaluated at once."""
    if device.type != "cpu":
        return LARGEST_BATCH
    return max(8, min(LARGEST_BATCH, BATCH_PIXELS // size**2))


def outputs(model: Callable[[Any], Any], x: Any) -> tuple[Tensor, Tensor | None]:
    """Return float32 logits (B, K) and the unnormalised embedding (B, d), None if there is none."""
    result = model(x)
    if isinstance(result, Tensor):
        return result.float(), None
    logits, embedding = result
    return logits.float(), embedding.float()


@torch.no_grad()
def predict(
    model: nn.Module, images: Images, compute: Compute, *, views: str = "centre"
) -> tuple[npt.NDArray[np.float64], float]:
    """Return what is said of every image, and the mean cross-entropy.

    Of two classes it is the probability of the second, (N,); of K more, of each, (N, K).

    Args:
        model: The network.
        images: What to predict.
        compute: Device and precision.
        views: As for ``evaluation_views``; both results are of the mean of the views' logits.
    """
    model.eval()
    probabilities, loss = [], 0.0
    for batch in evaluation_slices(len(images), evaluation_batch_size(images.size, compute.device)):
        logits = mean_logits(model, images, batch, compute, views=views)
        labels = images.labels[batch].to(compute.device)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        probabilities.append(said_of(logits).cpu())
    return torch.cat(probabilities).numpy(), loss / len(images)


def said_of(logits: Tensor) -> Tensor:
    """Return float64 probabilities: (B,) of the second of two classes, or (B, K) of each."""
    probabilities = logits.double().softmax(dim=1)
    return probabilities[:, 1] if logits.shape[1] == 2 else probabilities


def mean_logits(
    model: nn.Module, images: Images, batch: slice, compute: Compute, *, views: str
) -> Tensor:
    """Return the mean over the views of float32 logits, (B, K), for a slice of the images.

    As many views go together as an evaluation batch has room for: one of a full batch of images, so
    that no batch is larger than the cache, and all of those of a small hospital.
    """
    # A copy, because torch takes no memory that is read-only, as mapped files are.
    pixels = torch.from_numpy(images.pixels[batch].copy()).to(compute.device)
    shown = evaluation_views(pixels, images.size, views)
    room = max(1, evaluation_batch_size(images.size, compute.device) // len(pixels))
    by_view: list[Tensor] = []
    while together := list(islice(shown, room)):
        x = torch.cat(together).contiguous(memory_format=torch.channels_last)
        with autocast(compute.device, bf16=compute.bf16):
            by_view += outputs(model, x)[0].chunk(len(together))
    return torch.stack(by_view).mean(dim=0)


@torch.no_grad()
def embed(model: nn.Module, images: Images, ids: Tensor, compute: Compute) -> Tensor:
    """Return the model's embeddings (n, d) of the training images ``ids``, in evaluation mode."""
    model.eval()
    parts = []
    for batch in evaluation_slices(len(ids), evaluation_batch_size(images.size, compute.device)):
        x, _ = load_batch(images, ids[batch], compute.device, None)
        with autocast(compute.device, bf16=compute.bf16):
            _, z = outputs(model, x)
        if z is not None:
            parts.append(z.cpu())
    return torch.cat(parts)


@torch.no_grad()
def recalibrate(
    model: nn.Module,
    images: Images,
    *,
    train: Train,
    limit: int,
    generator: torch.Generator,
    compute: Compute,
) -> None:
    """Re-estimate the batch-norm statistics of ``model`` in place, as plain means over batches.

    Running statistics belong to the weights under which they ran. Once the server's mean replaces
    those weights they are stale (precise BN: Wu and Johnson, arXiv 2105.07576, section 3). The
    images are shown as in training, crops and flips included: statistics of whole images belong to
    inputs on which the weights were never trained (docs/LOG.md has what that costs).

    Args:
        model: The network with its new weights.
        images: The site's training images.
        train: Size of the batches, and how images are shown.
        limit: Most images to use; 0 means all.
        generator: Chooses the images, and how each is shown.
        compute: Device and precision.
    """
    order = torch.randperm(len(images), generator=generator)[: limit or len(images)]
    # Batches of nearly equal size, because each counts the same in the mean.
    batches = order.tensor_split(max(1, len(order) // train.batch_size))
    show = training_view(train, generator)
    shown = (load_batch(images, ids, compute.device, show)[0] for ids in batches)
    average_statistics(model, shown, compute)


def statistical_norms(model: nn.Module) -> list[nn.Module]:
    """Return the norms whose running statistics training renews; frozen ones are not among them."""
    model.train()
    return [m for m in model.modules() if holds_statistics(m) and m.training and _has_momentum(m)]


def _has_momentum(norm: nn.Module) -> bool:
    # A scripted module's is a constant; what it keeps is refused before (``suitability``).
    return hasattr(norm, "momentum") and not isinstance(norm, torch.jit.ScriptModule)


@torch.no_grad()
def average_statistics(model: nn.Module, batches: Iterable[Tensor], compute: Compute) -> None:
    """Replace running statistics by the plain mean of the batches' own, in place.

    A running mean whose momentum is 1/k at batch k is the mean of k batches, whatever it was
    before. Not torch's ``momentum = None``: instance norms and norms of others do not know it.
    """
    norms = statistical_norms(model)
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        if hasattr(norm, "reset_running_stats"):
            norm.reset_running_stats()  # type: ignore[operator]
    for k, x in enumerate(batches, 1):
        for norm in norms:
            norm.momentum = 1.0 / k  # type: ignore[assignment]
        with autocast(compute.device, bf16=compute.bf16):
            model(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
