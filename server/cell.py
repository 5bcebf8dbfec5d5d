"""One method with one seed: what stays the same over all of its rounds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from federated.config.schema import Config
from federated.errors import UserError
from federated.exchange.fingerprint import code_digest
from federated.exchange.sharing import Boundary
from federated.exchange.wire import Order
from federated.rollout.policy import needs_every_update
from federated.rollout.scenario import Scenario
from federated.runs.folder import RunFolder
from server.advice import Advice
from server.bounding import multiple_of
from server.grids import SummingGrid
from server.record import Record
from server.rows import Key
from server.rules import Arrays, ServerRule


class RunStoppedError(UserError):
    """A round could not be finished; what was done before is saved."""


class VaultLostError(RunStoppedError):
    """A site's private state does not go on from where the federation is."""


@dataclass(frozen=True)
class Cell:
    """One method with one seed, and whom to talk to.

    Attributes:
        grid: Where the sites are.
        record: Where results go.
        config: The method's configuration.
        method: Its name.
        seed: The seed.
        nodes: Node id of every site, in the order of the sites' names. Pooled training has one
            site, ``ALL_SITES``.
        boundary: What sites may release.
        advice: How a run that stops goes on, and where the sites' logs lie.
        initial: What the sites are sent in round 1, by ``GROUP/NAME``.
        scenario: Each hospital's part in the rollout.
        train_images: Training images of every site.
        everyone: Whom ``ALL_SITES`` stands for; empty where each site answers for itself.
        server_rule: What renews the method's own groups; None if it has none.
        untrained: What of ``initial`` no gradient trains, such as running statistics.
    """

    grid: SummingGrid
    record: Record
    config: Config
    method: str
    seed: int
    nodes: Mapping[str, int]
    boundary: Boundary
    advice: Advice
    initial: Arrays
    scenario: Scenario
    train_images: Mapping[str, int]
    everyone: tuple[str, ...] = ()
    server_rule: ServerRule | None = None
    untrained: frozenset[str] = frozenset()

    @property
    def key(self) -> Key:
        """Method and seed."""
        return self.method, self.seed

    @property
    def folder(self) -> Path:
        """Where the server keeps this cell's checkpoints."""
        return RunFolder(self.record.folder).cell(self.method, self.seed)

    @property
    def whose(self) -> dict[str, Any]:
        """What this cell's checkpoints say of whose they are."""
        return {"run": self.record.run, "method": self.method, "seed": self.seed}

    @property
    def shares(self) -> bool:
        """Whether anything leaves a site; without it every site is on its own."""
        return bool(self.boundary.shared)

    @property
    def holds_updates(self) -> bool:
        """Whether the server holds each update: not all may count, or a rule compares them."""
        compares = self.config.server.rule != "mean"
        return self.shares and (compares or needs_every_update(self.config.rollout))

    @cached_property
    def norm_bound(self) -> float:
        """How many times the median of a round's updates one of them may be long; 0: no bound."""
        return multiple_of(self.config, self.initial)

    @property
    def hides_updates(self) -> bool:
        """Whether the server reads the sum of all updates and none of them."""
        return self.shares and self.config.privacy.secure_aggregation

    @property
    def by_examples(self) -> bool:
        """Whether a site's weight in the mean is its number of training images, not 1."""
        return self.config.server.weighting == "examples"

    @property
    def weight_of_all(self) -> int:
        """The weight of all sites together."""
        return sum(self.train_images.values()) if self.by_examples else len(self.train_images)

    def order(self, site: str, round: int, **facts: Any) -> Order:
        """Return an order to ``site`` for a round; ``facts`` are further fields of ``Order``."""
        run = self.record.run
        return Order(self.method, self.seed, round, site, *self._alike, run=run, **facts)

    @cached_property
    def _alike(self) -> tuple[str, str]:
        """What every order says first: the run's folder and the digest of the server's code."""
        return str(self.record.folder.absolute()), code_digest()

    def fewest(self, addressed: int) -> int:
        """Return the fewest good replies that will do when so many sites are addressed."""
        return self.config.server.fewest(addressed)

    def emit(self, kind: str, **facts: Any) -> None:
        """Record an event of this cell."""
        self.record.emit(kind, self.key, **facts)

    def stopped(
        self, round: int, reason: str, remedy: str, *, kind: type[RunStoppedError] = RunStoppedError
    ) -> RunStoppedError:
        """Return the error that ends the run in a round.

        Args:
            round: The round that could not be finished.
            reason: What happened in it.
            remedy: What to do about it; full sentences.
            kind: Of error.
        """
        return kind(
            f"{self.method}, seed {self.seed}, round {round}: {reason}. "
            f"Everything up to round {round - 1} is saved in {self.record.folder}; {remedy}"
        )
