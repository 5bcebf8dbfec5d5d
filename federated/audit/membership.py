"""Membership inference: was this image among those that a model was trained on?

By the loss (Yeom et al., CSF 2018), and by offline LiRA: the score of an image is compared with
what models say of it that never saw it (Carlini et al., S&P 2022, arXiv 2112.03570, section VI).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from federated.audit.finding import AS_IS, Case
from federated.audit.guessing import Floats, Guess
from federated.audit.sizes import Sizes
from federated.audit.subject import CPU, Subject
from federated.audit.updating import batches_of
from federated.config.training import Train
from federated.learning.batches import Images, evaluation_slices, round_batches
from federated.learning.evaluation import outputs
from federated.learning.optimizers import Adam, make_optimizer
from federated.learning.terms import CrossEntropy
from federated.learning.training import train_round
from federated.seeding import numpy_generator, torch_generator

NAME = "Was an image trained on?"
LARGE = 3e-3
"""Learning rate of the overfitted control."""
NEGATIVE = "members can be told from others by a model that saw neither, so they differ anyway"


@dataclass(frozen=True)
class Pool:
    """Images whose membership is guessed: the first ``members`` of them were trained on.

    Attributes:
        images: All, as training reads them.
        inputs: The same as the network is shown them in evaluation, (N, 3, S, S).
        members: How many.
    """

    images: Images
    inputs: Tensor
    members: int


def membership(subject: Subject, pool: Pool, sizes: Sizes) -> Iterator[Case]:
    """Yield the attacks on the shared weights and on the personal model."""
    shadows = Shadows(subject, pool, sizes)
    control, inside = overfitted(subject, pool, sizes)
    mine, fresh = subject.network(subject.final), subject.fresh()
    shared = subject.network(subject.stranger)
    for attack in ("loss", "LiRA"):

        def guess(network: nn.Module, attack: str = attack) -> Floats:
            scores = confidence(network, pool)
            return shadows.ratio(scores) if attack == "LiRA" else scores

        known = guess(control)
        controlled = Guess(known[inside], known[~inside])
        nothing = guess(fresh.eval())
        chance = Guess(nothing[: pool.members], nothing[pool.members :])
        for setting, network in (("shared weights", shared), ("personal model", mine)):
            scores = guess(network)
            got = Guess(scores[: pool.members], scores[pool.members :])
            yield Case(
                NAME,
                f"by {attack}, from the {setting}",
                AS_IS,
                _sees(subject, setting, attack, sizes),
                got.numbers,
                controlled.numbers,
                chance.numbers,
                succeeded=got.stands_out,
                control_succeeded=controlled.stands_out,
                why=NEGATIVE if chance.stands_out else "",
            )


def _sees(subject: Subject, setting: str, attack: str, sizes: Sizes) -> str:
    model = {
        "shared weights": "the server's last weights, with another hospital's private layers",
        "personal model": f"the model that {subject.site} uses in the end",
    }[setting]
    added = f", and {sizes.shadows} models he trained on such images himself" * (attack == "LiRA")
    return f"{model}; the image and its class{added}"


def pool_of(subject: Subject, sizes: Sizes) -> Pool:
    """Return training images, and others of the hospital that no model was trained on."""
    rng = numpy_generator(subject.seed, subject.site, 0, "audit membership")
    train = subject.data.train
    chosen = np.sort(rng.permutation(len(train))[: sizes.members])
    parts = [subject.data.test, subject.data.val]
    others = [(part, np.arange(len(part))) for part in parts]
    left, places = sizes.members, [(train, chosen)]
    for part, numbers in others:
        places.append((part, numbers[:left]))
        left -= len(places[-1][1])
    pixels = np.concatenate([part.images[numbers] for part, numbers in places])
    labels = np.concatenate([part.labels[numbers] for part, numbers in places])
    names = tuple(part.ids[n] for part, numbers in places for n in numbers)
    whole = replace(train, images=pixels, labels=labels, ids=names)
    return Pool(subject.images(whole), subject.inputs(whole), len(chosen))


@torch.no_grad()
def confidence(network: nn.Module, pool: Pool) -> Floats:
    """Return the log odds (N,) that a network in evaluation mode gives each image's own class."""
    network.eval()
    logits = [outputs(network, pool.inputs[s])[0] for s in evaluation_slices(len(pool.images), 64)]
    chances = torch.cat(logits).double().log_softmax(dim=1)
    own = chances.gather(1, pool.images.labels[:, None])[:, 0]
    others = torch.log1p(-own.exp().clamp(max=1 - 1e-15))
    return np.asarray((own - others).numpy(), dtype=np.float64)


class Shadows:
    """Models of the attacker's own, each trained on a random half of the images.

    They come in pairs of which one is trained on what the other is not; so each image is unknown
    to exactly half of them.

    Args:
        subject: Whose network and settings they take.
        pool: The images.
        sizes: How many models, of how many steps.
    """

    def __init__(self, subject: Subject, pool: Pool, sizes: Sizes) -> None:
        count = len(pool.images)
        scores, unknown = [], []
        for pair in range(sizes.shadows // 2):
            rng = numpy_generator(subject.seed, subject.site, pair, "audit shadows")
            half = np.zeros(count, bool)
            half[rng.permutation(count)[: count // 2]] = True
            for side, inside in enumerate((half, ~half)):
                train = replace(subject.config.train, max_steps=sizes.shadow_steps)
                network = trained(subject, pool, inside, train, 2 * pair + side)
                scores.append(confidence(network, pool))
                unknown.append(~inside)
        outside = np.stack(unknown)
        self._mean = np.mean(np.stack(scores), axis=0, where=outside)
        # With few models the spread of one image's scores is not known: all images share it.
        squares = np.square(np.stack(scores) - self._mean)
        freedom = outside.sum() - count
        self._deviation = float(np.sqrt((squares * outside).sum() / max(1, freedom))) or 1.0

    def ratio(self, scores: Floats) -> Floats:
        """Return by how many deviations (N,) scores exceed those of models without the image."""
        return np.asarray((scores - self._mean) / self._deviation)


def trained(
    subject: Subject, pool: Pool, inside: npt.NDArray[np.bool_], train: Train, number: int
) -> nn.Module:
    """Return the run's network, trained from its beginning on some images of the pool."""
    network = subject.fresh()
    places = np.flatnonzero(inside)
    some = replace(
        pool.images, pixels=pool.images.pixels[places], labels=pool.images.labels[places]
    )
    generator = torch_generator(subject.seed, subject.site, number, "audit training")
    train_round(
        network,
        round_batches(some, train, generator, CPU.device),
        terms=[CrossEntropy()],
        optimizer=make_optimizer(list(network.parameters()), train, train.lr),
        clip_norm=train.clip_norm,
        compute=CPU,
    )
    return network.eval()


def overfitted(
    subject: Subject, pool: Pool, sizes: Sizes
) -> tuple[nn.Module, npt.NDArray[np.bool_]]:
    """Return a network that knows a few images by heart, and which of the pool they are.

    The same few images in every step, as they are and with large steps: what training should not
    do.
    """
    rng = numpy_generator(subject.seed, subject.site, 0, "audit overfitting")
    inside = np.zeros(len(pool.images), bool)
    inside[rng.permutation(len(inside))[: min(sizes.overfitted, len(inside) // 3)]] = True
    places = torch.from_numpy(np.flatnonzero(inside))
    batches = batches_of(pool.inputs[places], pool.images.labels[places], sizes.overfitting)
    network = subject.fresh()
    train_round(
        network,
        batches,
        terms=[CrossEntropy()],
        optimizer=Adam(network.parameters(), lr=LARGE),
        clip_norm=0,
        compute=CPU,
    )
    return network.eval(), inside
