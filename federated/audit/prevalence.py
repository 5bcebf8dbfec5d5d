"""Property inference: what share of a hospital's images is ill, read from its update.

The attacker makes updates from images of his own with shares that he knows, learns to read the
share off them, and reads it off the hospital's (Ganju et al., CCS 2018; Melis et al., S&P 2019).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from federated.audit.finding import AS_IS, Case, Number
from federated.audit.guessing import Floats
from federated.audit.sizes import Sizes
from federated.audit.subject import CPU, Subject
from federated.audit.updating import Update, batches_of, update_of
from federated.data.site import Split
from federated.learning.batches import load_batch, round_batches
from federated.seeding import numpy_generator, torch_generator
from federated.statistics.interval import mean_of_seeds
from federated.unseen.models import State

NAME = "What share of a hospital's images is ill?"
LOWEST, HIGHEST = 0.1, 0.9
MOST = 64
"""Images that a hospital of such an experiment has."""
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Shares:
    """Updates, and the share of ill images that each was trained on."""

    updates: Sequence[Update]
    shares: Floats


def prevalence(subject: Subject, sizes: Sizes) -> Iterator[Case]:
    """Yield the attack on a round's update; its control is one plain step over all images at once.

    The gradient of the last layer's bias is the mean prediction minus the share itself.
    """
    whole = _both(subject.data.val, subject.data.test)
    steps = min(_steps(subject), sizes.round_steps)
    count = sizes.prevalences
    errors = {}
    for setting, as_run in (("control", False), ("attack", True)):
        begin = subject.stranger if as_run else subject.last
        known = _made(subject, whole, count, "attacker", steps if as_run else 0, begin)
        asked = _made(subject, subject.data.train, count, "hospital", steps if as_run else 0)
        guess = np.abs(asked.shares - known.shares.mean())
        errors[setting] = (_best(subject, known, asked), guess)
    controlled, got = errors["control"], errors["attack"]
    yield Case(
        NAME,
        f"{steps} local steps with the run's optimiser",
        AS_IS,
        f"the update of {', '.join(sorted(subject.visible))}; {count} updates made of other images",
        _numbers(*got),
        _numbers(*controlled),
        (Number("error of always guessing the mean share", mean_of_seeds(got[1]), count),),
        succeeded=_is_better(*got),
        control_succeeded=_is_better(*controlled),
    )


def _steps(subject: Subject) -> int:
    return subject.config.train.max_steps or 2


def _numbers(errors: Floats, guess: Floats) -> tuple[Number, ...]:
    return (
        Number("mean error of the share", mean_of_seeds(errors), len(errors)),
        Number("smaller than that of guessing by", mean_of_seeds(guess - errors), len(errors)),
    )


def _is_better(errors: Floats, guess: Floats) -> bool:
    return mean_of_seeds(guess - errors).low > 0


def _both(a: Split, b: Split) -> Split:
    return Split(
        np.concatenate([a.images, b.images]), np.concatenate([a.labels, b.labels]), (*a.ids, *b.ids)
    )


def _made(
    subject: Subject,
    split: Split,
    count: int,
    who: str,
    steps: int,
    begin: State | None = None,
) -> Shares:
    """Return updates of hospitals whose images are drawn from a split with a share of their own.

    Args:
        subject: Whose network and settings.
        split: Where the images are drawn from.
        count: Of updates.
        who: Names the draw.
        steps: Of local training; 0: one plain gradient step over all images at once.
        begin: What the attacker begins with; None: what the hospital does.
    """
    updates, shares = [], []
    for number in range(count):
        rng = numpy_generator(subject.seed, subject.site, number, f"audit prevalence {who} {steps}")
        places = _drawn(split.labels, rng.uniform(LOWEST, HIGHEST), rng)
        images = subject.images(
            replace(split, images=split.images[places], labels=split.labels[places])
        )
        shares.append(float(split.labels[places].mean()))
        if steps:
            train = replace(subject.config.train, max_steps=steps)
            generator = torch_generator(subject.seed, subject.site, number, f"audit {who}")
            batches = round_batches(images, train, generator, CPU.device)
            updates.append(update_of(subject, batches, as_run=True, number=number, begin=begin))
        else:
            x, y = load_batch(images, torch.arange(len(images)), CPU.device, None)
            updates.append(update_of(subject, batches_of(x, y, 1), as_run=False, begin=begin))
    return Shares(updates, np.array(shares))


def _drawn(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Return places of as many images as can be had with a share of ill ones, at most ``MOST``."""
    ill, well = (rng.permutation(np.flatnonzero(labels == label)) for label in (1, 0))
    count = int(min(MOST, len(ill) / share, len(well) / (1 - share)))
    some = round(share * count)
    return np.sort(np.concatenate([ill[:some], well[: count - some]]))


def _best(subject: Subject, known: Shares, asked: Shares) -> Floats:
    """Return the errors of the best reading: of the heads alone, or of all that is shared."""
    shared = subject.kinds["weights"] | (
        subject.kinds["parameters"] if "parameters" in subject.visible else frozenset()
    )
    names = [n for n in known.updates[0].change if n in shared]
    classes = [n for n in names if known.updates[0].change[n].shape[0] == 2]
    readings = [
        np.abs(_read(known, asked, some) - asked.shares) for some in (classes, names) if some
    ]
    return min(readings, key=lambda errors: float(errors.mean()))


def _read(known: Shares, asked: Shares, names: Sequence[str]) -> Floats:
    """Return the shares that ridge regression reads off updates, from 0 to 1.

    How strong the ridge is, the attacker chooses by leaving out one of his own at a time.
    """
    a, b = (
        np.stack([torch.cat([u.change[n].flatten() for n in names]).numpy() for u in s.updates])
        for s in (known, asked)
    )
    centre, scale = a.mean(axis=0), a.std(axis=0) + 1e-12
    a, b = ((x - centre) / scale / np.sqrt(len(centre)) for x in (a, b))
    kernel, y = (a @ a.T).astype(np.float64), known.shares - known.shares.mean()

    def left_out(ridge: float) -> float:
        hat = kernel @ np.linalg.inv(kernel + ridge * np.eye(len(y)))
        return float(np.square((y - hat @ y) / (1 - np.diag(hat))).sum())

    ridge = min(RIDGES, key=left_out)
    weights = np.linalg.solve(kernel + ridge * np.eye(len(y)), y)
    return np.asarray(np.clip((b @ a.T).astype(np.float64) @ weights + known.shares.mean(), 0, 1))
