"""What a method may bring beyond its settings: rules of its own, and groups of tensors.

Most methods are settings alone. One that needs code has a file in this room with a ``Rules``
object, and its settings name it: ``code = "federated.methods.scaffold:rules"``. A method of your
own may name any module that can be imported.

    def site(round: SiteRound) -> Outcome:
        return Outcome(round.fit())  # what a method does that brings no site rule
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from federated.config.schema import Config
from federated.dp.records import Records, guarded
from federated.exchange.sharing import WEIGHTS, Boundary, State, group
from federated.learning.batches import Batch
from federated.learning.compute import Compute
from federated.learning.optimizers import make_optimizer
from federated.learning.terms import Term
from federated.learning.training import Trained, train_round
from federated.seeding import global_torch_seed

Arrays = Mapping[str, npt.NDArray[np.generic]]
"""Arrays by ``GROUP/NAME``."""

PERSONAL = "personal"
"""The group of what a site's rule keeps that is a network of the site's own."""
MEMORY = "memory"
"""The group of what a server's rule keeps for its next round, and sends to nobody."""


@dataclass(frozen=True)
class SiteRound:
    """A round at one site, as a method's site rule sees it.

    Attributes:
        model: The network, with the server's weights and the site's private tensors in it.
        config: The method's settings.
        number: Of the round, 1-based.
        lr: Learning rate of this round.
        sent: What the server sent, by ``GROUP/NAME``.
        kept: What the rule kept at this site after its last round; nothing at first.
        terms: The configured terms of the loss, cross-entropy first.
        optimizer: Of the network, with its state of earlier rounds if so configured.
        batches: Returns the batches of the round; the same ones at each call.
        compute: Device and precision.
        seed: Of layers that draw, such as dropout.
        records: Clips and noises the gradient of each image; None: nothing does.
        site: The hospital's name.
    """

    model: nn.Module
    config: Config
    number: int
    lr: float
    sent: State
    kept: State
    terms: Sequence[Term]
    optimizer: torch.optim.Optimizer
    batches: Callable[[], Iterator[Batch]]
    compute: Compute
    seed: int
    records: Records | None = None
    site: str = ""

    def fit(
        self,
        model: nn.Module | None = None,
        terms: Sequence[Term] | None = None,
        *,
        adjust: Callable[[], None] | None = None,
    ) -> Trained:
        """Train for the round's batches, in place.

        Args:
            model: Another network than the round's, with a new optimiser.
            terms: Other terms than the configured ones; such as hold a memory must not be shared
                by two calls.
            adjust: Called between backward and clipping; changes gradients in place.
        """
        train = self.config.train
        optimizer = self.optimizer
        if model is not None:
            optimizer = make_optimizer(list(model.parameters()), train, self.lr)
        trained = model or self.model
        with global_torch_seed(self.seed), guarded(trained, self.records, adjust) as adjusted:
            return train_round(
                trained,
                self.batches(),
                terms=self.terms if terms is None else terms,
                optimizer=optimizer,
                clip_norm=train.clip_norm,
                compute=self.compute,
                adjust=adjusted,
            )

    def stepping(self, parameters: list[nn.Parameter]) -> Callable[[], None]:
        """Return what moves parameters that are not the model's by their gradients.

        With an optimiser of their own of the configured kind, their gradient clipped by itself; to
        be called as ``adjust``, once a step.
        """
        optimizer = make_optimizer(parameters, self.config.train, self.lr)
        limit = self.config.train.clip_norm or math.inf

        def step() -> None:
            nn.utils.clip_grad_norm_(parameters, limit)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step


@dataclass(frozen=True)
class Outcome:
    """What a site rule made of a round.

    Attributes:
        trained: What is reported of it.
        kept: Tensors that stay in the site's vault for the rule's next round.
        released: Tensors of the method's own groups, by ``GROUP/NAME``; weights go by themselves.
    """

    trained: Trained
    kept: State = field(default_factory=dict)
    released: State = field(default_factory=dict)


@dataclass(frozen=True)
class Arrived:
    """What a site has when it evaluates, as a method sees it that gives a site its own network.

    Attributes:
        state: Of the network: the server's weights and the site's private tensors.
        sent: What the server sent, by ``GROUP/NAME``.
        kept: What the rule kept at this site after its last round.
    """

    state: State
    sent: State
    kept: State


@dataclass(frozen=True)
class ServerRound:
    """A round at the server, as a method's server rule sees it.

    Attributes:
        before: What the sites were sent.
        mean: The weighted mean of what they released, float64.
        share: The weight of those in the mean over the weight of all sites.
        config: The method's settings.
        memory: What the rule kept at the server after its last round, by ``memory/NAME``.
        untrained: What of the weights no gradient trains, by ``GROUP/NAME``.
    """

    before: Arrays
    mean: Arrays
    share: float
    config: Config = field(default_factory=Config)
    memory: Arrays = field(default_factory=dict)
    untrained: Collection[str] = ()

    def trained_weights(self) -> list[str]:
        """Return the weights that a gradient trains, by ``GROUP/NAME``."""
        names = [n for n in self.before if n.startswith(f"{WEIGHTS}/") and n not in self.untrained]
        return [n for n in names if np.issubdtype(self.before[n].dtype, np.floating)]


def no_groups(model: nn.Module, boundary: Boundary, config: Config) -> Mapping[str, State]:
    """Return no group but the weights."""
    return {}


@dataclass(frozen=True)
class Rules:
    """The code of a method; each part has a default that does what every method does.

    Attributes:
        site: What a site does in a round of training; None: ``Outcome(round.fit())``.
        groups: Groups beside ``weights`` that travel both ways: from the network, its boundary and
            the settings to the tensors that the server starts with, by group and name.
        server: Returns the new arrays of these groups, and of weights that it makes in the place
            of the server's optimiser, by ``GROUP/NAME``; ``memory/NAME`` stays at the server. None
            if there are none.
        personal: Returns the state of the network that a site uses in the place of the server's,
            once its rule has kept something; None: it uses the server's.
        terms: Names of the terms of the loss that the site's rule adds and reports.
        fits: How often the site's rule trains over a round's batches, for who wants to know how
            long a run takes.
    """

    site: Callable[[SiteRound], Outcome] | None = None
    groups: Callable[[nn.Module, Boundary, Config], Mapping[str, State]] = no_groups
    server: Callable[[ServerRound], Mapping[str, npt.NDArray[Any]]] | None = None
    personal: Callable[[Arrived], State] | None = None
    terms: tuple[str, ...] = ()
    fits: int = 1


def kept_network(arrived: Arrived) -> State:
    """Return the network that a rule has kept under ``personal/NAME``."""
    return group(arrived.kept, PERSONAL)


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU that no later step of training changes."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
