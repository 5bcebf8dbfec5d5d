"""The contrastive and proximal losses: pure functions of tensors, computed in float32.

Notation: B anchors in the batch, M entries in the memory, d numbers an embedding, y the class,
tau the temperature. Similarities are cosines, so embeddings come in unnormalised.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from federated.learning.memory import MemoryView, unit

# Fills what a logsumexp must not see. Finite, because a row of -inf has a NaN gradient; a row of
# this gives a logsumexp so low that its share of the loss and of the gradient is exactly 0.
_EXCLUDED = torch.finfo(torch.float32).min


def nt_xent(
    embeddings: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    temperature: float,
    memory: MemoryView | None = None,
) -> Tensor:
    """Return the supervised NT-Xent of a batch against itself and the site's memory.

    The mean over ordered pairs (i, p) of an anchor i in the batch and another image p of its
    class, in the batch or the memory, of

        -log( e^{z_i.z_p/tau} / ( e^{z_i.z_p/tau} + sum_{n: y_n != y_i} e^{z_i.z_n/tau} ) )

    An image is never its own positive, neither as a repeat in the batch nor from the memory.
    Without a positive the loss is 0 with a zero gradient; an anchor without negatives adds 0.

    Args:
        embeddings: (B, d) projections, any floating dtype, normalised here.
        labels: (B,) classes.
        ids: (B,) images, unique over all that is compared: over the sites too, if pooled.
        temperature: tau, above 0; 0.05 as published.
        memory: constants to compare with, on the same device; None is the in-batch loss.

    Returns:
        A float32 scalar. Its gradient flows through the batch's embeddings only.

    Source: Wang, Liu and Dou, IEEE J-BHI 24(10), 2020, arXiv 2009.07652; the memory is ours.
    """
    similarity, same_class, same_image = _compare(embeddings, labels, ids, temperature, memory)
    negative = ~same_class & ~same_image
    negatives = similarity.masked_fill(~negative, _EXCLUDED).logsumexp(dim=1, keepdim=True)
    # -log(e^p / (e^p + e^n)) = log(1 + e^(n-p)), which keeps its digits when p is far above n.
    terms = F.softplus(negatives - similarity)  # (B, B+M)
    return _mean_where(terms, same_class & ~same_image)


def sup_con(
    embeddings: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    temperature: float,
    memory: MemoryView | None = None,
) -> Tensor:
    """Return the supervised contrastive loss L_out of a batch against itself and the memory.

    The mean, over the anchors i that have a positive, of

        -(1/|P(i)|) sum_{p in P(i)} log( e^{z_i.z_p/tau} / sum_{a in A(i)} e^{z_i.z_a/tau} )

    where A(i) is every entry of batch and memory that shows another image than i, and P(i) those
    of its class. Without repeats or memory, A(i) is all a != i, as published. If no anchor has a
    positive the loss is 0 with a zero gradient.

    Args:
        embeddings: (B, d) projections, any floating dtype, normalised here.
        labels: (B,) classes.
        ids: (B,) images, unique over all that is compared: over the sites too, if pooled.
        temperature: tau, above 0; 0.07 as published.
        memory: constants to compare with, on the same device; None is the in-batch loss.

    Returns:
        A float32 scalar. Its gradient flows through the batch's embeddings only.

    Source: Khosla et al., NeurIPS 2020, arXiv 2004.11362, equation 2.
    """
    similarity, same_class, same_image = _compare(embeddings, labels, ids, temperature, memory)
    positive = same_class & ~same_image
    others = similarity.masked_fill(same_image, _EXCLUDED).logsumexp(dim=1, keepdim=True)
    surprise = torch.where(positive, others - similarity, 0.0)  # (B, B+M)
    positives = positive.sum(dim=1)
    return _mean_where(surprise.sum(dim=1) / positives.clamp(min=1), positives > 0)


def moon(
    embeddings: Tensor,
    global_embeddings: Tensor,
    previous_embeddings: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """Return MOON's model-contrastive loss, to be weighted by mu by the caller.

    The mean over the batch, with s the cosine, of

        -log( e^{s(z, z_glob)/tau} / ( e^{s(z, z_glob)/tau} + e^{s(z, z_prev)/tau} ) )

    Args:
        embeddings: (B, d) of the model in training.
        global_embeddings: (B, d) of the same images by the server's model; held constant.
        previous_embeddings: (B, d) by the site's model of its last round; held constant.
        temperature: tau, above 0; 0.5 as published.

    Returns:
        A float32 scalar.

    Source: Li, He and Song, CVPR 2021, arXiv 2103.16257, equation 3.
    """
    z = unit(embeddings)
    towards = (z * unit(global_embeddings.detach())).sum(dim=1)  # (B,)
    away = (z * unit(previous_embeddings.detach())).sum(dim=1)
    return F.softplus((away - towards) / temperature).mean()


def proximal(parameters: Iterable[Tensor], reference: Iterable[Tensor]) -> Tensor:
    """Return FedProx's 1/2 sum ||w - w_t||^2, to be weighted by mu by the caller.

    Args:
        parameters: the weights in training; at least one.
        reference: the server's weights in the same order and shapes; held constant.

    Returns:
        A float32 scalar: the squared distance, whose gradient is w - w_t.

    Raises:
        ValueError: if the two differ in number or in a shape, or are empty.

    Source: Li et al., MLSys 2020, arXiv 1812.06127, equation 2.
    """
    squares = []
    for w, w_t in zip(parameters, reference, strict=True):
        if w.shape != w_t.shape:  # would broadcast without a word
            raise ValueError(f"parameter {tuple(w.shape)}, reference {tuple(w_t.shape)}")
        squares.append((w.float() - w_t.detach().float()).square().sum())
    if not squares:
        raise ValueError("the proximal term needs at least 1 parameter, got 0")
    return torch.stack(squares).sum() / 2


def _compare(
    embeddings: Tensor,
    labels: Tensor,
    ids: Tensor,
    temperature: float,
    memory: MemoryView | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, B+M) cosine/tau, same class and same image, of the batch against all keys."""
    z = unit(embeddings)
    labels, ids = labels.to(z.device), ids.to(z.device)  # batches are counted on the CPU
    keys, key_labels, key_ids = z, labels, ids
    if memory is not None:
        keys = torch.cat([z, memory.embeddings.detach()])
        key_labels = torch.cat([labels, memory.labels])
        key_ids = torch.cat([ids, memory.ids])
    # Under autocast this product would be bfloat16: an error of 1/256 in the cosine, times 1/tau.
    with torch.autocast(device_type=z.device.type, enabled=False):
        similarity = z @ keys.T / temperature
    return similarity, labels[:, None] == key_labels, ids[:, None] == key_ids


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the chosen values; 0, still connected to the graph, if there is none."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
