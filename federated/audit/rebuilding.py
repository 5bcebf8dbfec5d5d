"""Gradient inversion: can images be rebuilt from an update, out of nothing?

The best attack over all parts of what is seen counts, of those that use the weights.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from federated.audit.attacked import Attacked, Candidates
from federated.audit.finding import Case, Number, above, clopper_pearson, plain
from federated.audit.likeness import WINDOW, nearest, psnr, ssim
from federated.audit.matching import Seen, reconstructed
from federated.audit.sizes import Sizes
from federated.audit.subject import Subject
from federated.audit.visible import (
    Kinds,
    best,
    check_never_weaker,
    held,
    in_words,
    names_of,
    parts_of,
    variants,
)
from federated.learning.normalising import normalise
from federated.seeding import torch_generator

NAME = "Can images be rebuilt from the update?"
SEARCHED = 4
"""Most updates of a kind that images are rebuilt from."""


def rebuilt(
    subject: Subject,
    images: Candidates,
    control: Attacked,
    kinds: Sequence[Attacked],
    sizes: Sizes,
) -> Iterator[Case | tuple[Tensor, Tensor]]:
    """Yield the cases in which images are searched for; if the control fails, it alone is told."""
    everything = variants(subject).popitem()[1]
    found = Rebuilt(subject, images, control, everything & {"weights", "parameters"}, sizes)
    works = above(found.hits, found.count, 1 / len(images.labels), 1)
    yield images.greys[found.sets[:, 0]], found.greys[:, 0]
    if not works:
        kinds = kinds[:1]
    for kind in kinds:
        parts = [part for part in parts_of(everything) if "weights" in part] if works else []
        tries = {part: Rebuilt(subject, images, kind, part, sizes) for part in parts}
        for name, seen in variants(subject).items():
            yield _case(images, kind, name, seen, tries, found, works=works)


def _case(
    images: Candidates,
    kind: Attacked,
    variant: str,
    seen: Kinds,
    tries: dict[Kinds, "Rebuilt"],
    control: "Rebuilt",
    *,
    works: bool,
) -> Case:
    numbers, succeeded = [], False
    if tries:
        count = next(iter(tries.values())).count
        scores = {part: dict(one.scores) for part, one in tries.items()}
        hits = int(best({part: float(one.hits) for part, one in tries.items()}, seen))
        numbers.append(Number("share identified", clopper_pearson(hits, count), count))
        for metric in control.scores:
            each = {part: score[metric] for part, score in scores.items()}
            check_never_weaker(each)
            numbers.append(plain(metric, best(each, seen), count))
        chance = kind.sets.shape[1] / len(images.labels)
        succeeded = above(hits, count, chance, len(tries))
    mean = images.greys.mean(0).expand_as(images.greys)
    return Case(
        NAME,
        kind.setting,
        variant,
        f"{in_words(seen)}; the images' classes",
        numbers,
        control.numbers,
        (
            plain("chance of identifying", kind.sets.shape[1] / len(images.labels), 1),
            plain("PSNR of the mean image, dB", float(psnr(mean, images.greys).mean()), len(mean)),
        ),
        succeeded=succeeded,
        control_succeeded=works,
    )


class Rebuilt:
    """Images rebuilt from some updates, and how like the originals they are.

    Args:
        subject: The hospital.
        images: The candidates; the search begins with their mean image.
        kind: The updates; of many the first.
        part: What of them is used.
        sizes: Of the search.
    """

    def __init__(
        self, subject: Subject, images: Candidates, kind: Attacked, part: Kinds, sizes: Sizes
    ) -> None:
        self.sets = kind.sets[: min(SEARCHED, len(kind.updates))]
        updates = kind.updates[: len(self.sets)]
        names = [n for n in updates[0].change if n in names_of(subject, part)]
        change = {n: torch.stack([u.change[n] for u in updates]) for n in names}
        norms = list(zip(*(u.statistics for u in updates), strict=True))
        statistics = [
            (torch.stack([m for m, _ in n]), torch.stack([v for _, v in n])) for n in norms
        ]
        seen = Seen(
            subject.network(held(subject, part) if kind.by_batch else subject.last),
            kind.by_batch,
            change,
            statistics if "statistics" in part else [],
            images.labels[self.sets],
        )
        generator = torch_generator(subject.seed, subject.site, 0, "audit search")
        begin = images.greys.mean(0) + 0.01 * torch.randn(
            *self.sets.shape, *images.greys.shape[1:], generator=generator
        )
        greys = reconstructed(seen, begin.clamp(0, 1), _inputs, sizes.search)
        self.greys = self._in_order(greys, images.greys[self.sets])
        self.count = self.sets.numel()
        near = nearest(self.greys.flatten(0, 1), images.greys).view(self.sets.shape)
        self.hits = sum(int(torch.isin(a, b).sum()) for a, b in zip(near, self.sets, strict=True))
        pairs = self.greys.flatten(0, 1), images.greys[self.sets].flatten(0, 1)
        self.scores = {"PSNR, dB": float(psnr(*pairs).mean())}
        if greys.shape[-1] >= WINDOW:
            self.scores["SSIM"] = float(ssim(*pairs).mean())

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All scores."""
        share = Number("share identified", clopper_pearson(self.hits, self.count), self.count)
        return (share, *(plain(n, v, self.count) for n, v in self.scores.items()))

    def _in_order(self, greys: Tensor, truth: Tensor) -> Tensor:
        """Return the images of each batch in the order in which they fit the originals best."""
        from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

        orders = []
        for made, real in zip(greys, truth, strict=True):
            cost = (made[:, None] - real[None]).square().mean(dim=(2, 3))
            rows, columns = linear_sum_assignment(cost.numpy())
            orders.append(made[torch.as_tensor(rows)[torch.as_tensor(columns).argsort()]])
        return torch.stack(orders)


def _inputs(greys: Tensor) -> Tensor:
    """Return greys (K, B, S, S) from 0 to 1 as the network's inputs (K, B, 3, S, S)."""
    inputs = normalise(greys.flatten(0, 1) * 255)
    return inputs.view(*greys.shape[:2], *inputs.shape[1:])
