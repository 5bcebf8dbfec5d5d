"""Updates of known images, which attacks are tried on: small steps, and a round of the run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from federated.audit.matching import given_away
from federated.audit.sizes import Sizes
from federated.audit.subject import CPU, Subject
from federated.audit.updating import Update, batches_of, update_of
from federated.learning.batches import Images, round_batches
from federated.seeding import torch_generator


@dataclass(frozen=True)
class Attacked:
    """Updates of one kind.

    Attributes:
        setting: How they were made.
        updates: K.
        sets: (K, B) which candidates each was made of.
        by_batch: Whether the hospital normalised with its batch.
    """

    setting: str
    updates: Sequence[Update]
    sets: Tensor
    by_batch: bool = True


@dataclass(frozen=True)
class Candidates:
    """N images that updates are made of: inputs (N, 3, S, S), greys (N, S, S), classes (N,)."""

    images: Images
    inputs: Tensor
    greys: Tensor
    labels: Tensor


def candidates_of(subject: Subject, sizes: Sizes) -> Candidates:
    """Return training images of the hospital."""
    train = subject.data.train
    generator = torch_generator(subject.seed, subject.site, 0, "audit candidates")
    chosen = torch.randperm(len(train), generator=generator)[: sizes.candidates].numpy()
    some = replace(train, images=train.images[chosen], labels=train.labels[chosen])
    inputs, images = subject.inputs(some), subject.images(some)
    return Candidates(images, inputs, subject.greys(inputs), images.labels)


def attacked_updates(subject: Subject, images: Candidates, sizes: Sizes) -> list[Attacked]:
    """Return updates of each kind; the first are the control's, the last a round of the run."""
    count, least = sizes.updates, least_batch(subject, images)
    kinds = [_control(subject, images, count)]
    for batch, steps in ((least, 1), (max(4, least), 1), (least, 8)):
        sets = _sets(subject, len(images.labels), count, batch)
        updates = [
            update_of(subject, batches_of(images.inputs[s], images.labels[s], steps), as_run=False)
            for s in sets
        ]
        words = f"{batch} image{'s' * (batch > 1)}, {steps} plain gradient step{'s' * (steps > 1)}"
        kinds.append(Attacked(words, updates, sets))
    kinds.append(_rounds(subject, images, sizes))
    return kinds


def least_batch(subject: Subject, images: Candidates) -> int:
    """Return the smallest batch that the network can be trained on: 1, or 2."""
    network = subject.network(subject.last).train()
    try:
        network(images.inputs[:1])
    except ValueError:  # batch norm of a map of one pixel
        return 2
    return 1


def _sets(subject: Subject, candidates: int, count: int, batch: int) -> Tensor:
    generator = torch_generator(subject.seed, subject.site, batch, "audit sets")
    return torch.stack(
        [torch.randperm(candidates, generator=generator)[:batch] for _ in range(count)]
    )


def _control(subject: Subject, images: Candidates, count: int) -> Attacked:
    """Return gradients of one image with norms that are fixed and known: what must be inverted."""
    sets = _sets(subject, len(images.labels), count, 1)
    network = subject.network(subject.last)
    names = [n for n, _ in network.named_parameters()]
    gradients, _ = given_away(network, names, by_batch=False)(
        images.inputs[sets], images.labels[sets]
    )
    updates = [Update({n: g[k] for n, g in gradients.items()}, []) for k in range(count)]
    return Attacked("1 image, norms fixed and known", updates, sets, by_batch=False)


def _rounds(subject: Subject, images: Candidates, sizes: Sizes) -> Attacked:
    """Return updates of rounds as the run has them, on half of the candidates each."""
    train = subject.config.train
    steps = min(sizes.round_steps, train.max_steps or sizes.round_steps)
    sets = _sets(subject, len(images.labels), sizes.updates, len(images.labels) // 2)
    updates = []
    for number, half in enumerate(sets):
        some = replace(images.images, pixels=images.images.pixels[half], labels=images.labels[half])
        generator = torch_generator(subject.seed, subject.site, number, "audit rounds")
        batches = round_batches(some, replace(train, max_steps=steps), generator, CPU.device)
        updates.append(update_of(subject, batches, as_run=True, number=number))
    words = f"{sets.shape[1]} images, {steps} steps of {train.batch_size} as the run trains"
    return Attacked(words, updates, sets)
