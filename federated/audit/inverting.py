"""The contrastive memory, if it were shared: can images be rebuilt from its entries?

An entry is the embedding of an image. The attacker searches for an image whose embedding it is
(Mahendran and Vedaldi, CVPR 2015, arXiv 1412.0035: a distance in features, and total variation).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from federated.audit.finding import Case, Number, above, clopper_pearson, plain
from federated.audit.likeness import WINDOW, nearest, psnr, ssim
from federated.audit.matching import searched
from federated.audit.remembering import embedded
from federated.audit.sizes import Sizes
from federated.audit.subject import Subject
from federated.learning.evaluation import outputs
from federated.learning.memory import unit
from federated.learning.normalising import normalise
from federated.seeding import numpy_generator, torch_generator

NAME = "Can images be rebuilt from the memory, if it were shared?"


@dataclass(frozen=True)
class Entries:
    """N entries of a memory and the images that they are of.

    Attributes:
        embeddings: (N, d), of length 1.
        inputs: (N, 3, S, S) of those images.
        gallery: (G, S, S) greys: those images first, then others of the hospital.
    """

    embeddings: Tensor
    inputs: Tensor
    gallery: Tensor


def inverting(subject: Subject, sizes: Sizes) -> Iterator[Case]:
    """Yield the search for each kind of attacker; nothing if the method has no memory.

    The control is the same search from embeddings that the attacker's own network makes of the
    images, so that no other weights and no augmentation stand between.
    """
    entries = entries_of(subject, sizes)
    if entries is None:
        return
    count, gallery = len(entries.embeddings), len(entries.gallery)
    mean = float(psnr(entries.gallery.mean(dim=0), entries.gallery[:count]).mean())
    known = {
        "with the shared weights": subject.network(subject.stranger),
        "with the hospital's whole model": subject.network(subject.last),
    }
    for sees, network in known.items():
        own = replace(entries, embeddings=embedded(network, entries.inputs))
        got, control = (Inverted(subject, network, e, sizes.search) for e in (entries, own))
        yield Case(
            NAME,
            f"{count} entries, {sees}",
            "if the memory were shared",
            f"the entries, {sees}",
            got.numbers,
            control.numbers,
            (
                plain("chance of identifying", 1 / gallery, 1),
                plain("PSNR of the mean image, dB", mean, count),
            ),
            succeeded=above(got.hits, count, 1 / gallery, 1),
            control_succeeded=above(control.hits, count, 1 / gallery, 1),
        )


def entries_of(subject: Subject, sizes: Sizes) -> Entries | None:
    """Return the newest entry of some images in the memory, None if the method has none."""
    memory = subject.memory()
    if memory is None or not len(memory):
        return None
    newest = {int(image): place for place, image in enumerate(memory.ids)}
    rng = numpy_generator(subject.seed, subject.site, 0, "audit entries")
    chosen = rng.permutation(sorted(newest))[: sizes.updates]
    others = rng.permutation(np.setdiff1d(np.arange(len(subject.data.train)), chosen))
    inputs = subject.inputs(subject.data.train)
    rows = torch.from_numpy(np.concatenate([chosen, others[: sizes.candidates - len(chosen)]]))
    places = torch.tensor([newest[int(image)] for image in chosen])
    gallery = subject.greys(inputs[rows])
    return Entries(memory.embeddings[places], inputs[rows[: len(chosen)]], gallery)


class Inverted:
    """Images rebuilt from entries, and how like the originals they are."""

    def __init__(self, subject: Subject, network: nn.Module, entries: Entries, steps: int) -> None:
        self.count, truth = len(entries.embeddings), entries.gallery[: len(entries.embeddings)]
        generator = torch_generator(subject.seed, subject.site, 0, "audit inversion")
        noise = 0.01 * torch.randn(truth.shape, generator=generator)
        begin = (entries.gallery.mean(dim=0) + noise).clamp(0, 1)
        greys = inverted(network, entries.embeddings, begin, steps)
        near = nearest(greys, entries.gallery)
        self.hits = int((near == torch.arange(self.count)).sum())
        self._scores = {"PSNR, dB": float(psnr(greys, truth).mean())}
        if truth.shape[-1] >= WINDOW:
            self._scores["SSIM"] = float(ssim(greys, truth).mean())

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Share identified first: it is what the verdict goes by."""
        share = Number("share identified", clopper_pearson(self.hits, self.count), self.count)
        return (share, *(plain(n, v, self.count) for n, v in self._scores.items()))


def inverted(network: nn.Module, embeddings: Tensor, begin: Tensor, steps: int) -> Tensor:
    """Return images (N, S, S), greys from 0 to 1, whose embeddings are those given.

    Args:
        network: As the attacker has it, in evaluation mode.
        embeddings: (N, d), of length 1.
        begin: (N, S, S) greys that the search begins with.
        steps: Of the search.
    """
    network.eval()

    def unlike(x: Tensor) -> Tensor:
        made = outputs(network, normalise(x * 255))[1]
        if made is None:
            raise ValueError("the network has no embedding")
        return 1 - (unit(made) * embeddings).sum(dim=1)

    return searched(unlike, begin, steps)
