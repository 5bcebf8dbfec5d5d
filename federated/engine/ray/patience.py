"""How long a site may take before its worker counts as hanging.

A site that hangs must hold up a round neither for ``engine.timeout`` with each worker that tries it
nor again in every round; and none that is merely slow may be left out before that time is over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from federated.engine.ray.pool import Batch

SHARE = 1 / 12
"""Of the timeout, five minutes of an hour: what a site may take whatever the others took."""
TIMES = 20.0
"""How many times as long as the slowest of the others, or as the site itself before."""

Target = tuple[int, str]
"""A site's node and what it is asked."""


@dataclass
class Patience:
    """What one request grants its sites, which are known by their places in it.

    Attributes:
        timeout: Seconds that a site may hang with all workers that try it, together.
        retries: Fresh workers that a site gets when its worker dies or hangs.
        suspects: Sites that were given up for hanging when last asked: they get one try.
        known: Seconds that slow sites took when last asked.
        hung: Sites that have hung and have not answered since.
        took: Seconds that slow sites have taken now.
        slowest: The most seconds that a batch has taken; infinite before any has come back.
    """

    timeout: float
    retries: int
    suspects: Collection[int] = ()
    known: Mapping[int, float] = field(default_factory=dict)
    hung: set[int] = field(default_factory=set)
    took: dict[int, float] = field(default_factory=dict)
    slowest: float = inf

    def answered(self, batch: Batch, seconds: float) -> None:
        """Take note of a batch that has come back."""
        self.slowest = seconds if self.slowest == inf else max(self.slowest, seconds)
        self.hung -= set(batch.places)
        if len(batch.places) == 1 and TIMES * seconds > SHARE * self.timeout:
            self.took[batch.places[0]] = seconds

    def seconds(self, batch: Batch) -> float:
        """Return how long a batch may take; less as soon as others have answered.

        The last try has all that the ones before have left of the timeout.
        """
        left = max(0.0, self.timeout - batch.hung)
        if batch.losses >= self.retries and not set(batch.places) & set(self.suspects):
            return left
        longest = max(self.slowest, *(self.known.get(place, 0.0) for place in batch.places), 0.0)
        return min(left, max(SHARE * self.timeout, TIMES * longest * len(batch.places)))

    def is_over(self, batch: Batch) -> bool:
        """Return whether a site that travels alone and has hung is not tried again."""
        if batch.places[0] in self.suspects or batch.losses > self.retries:
            return True
        return batch.hung > (1 - SHARE) * self.timeout


@dataclass
class Experience:
    """What is remembered of sites from request to request.

    Attributes:
        hung: Who did not answer in the end.
        took: Seconds that slow ones took.
    """

    hung: set[Target] = field(default_factory=set)
    took: dict[Target, float] = field(default_factory=dict)

    def patience(self, targets: Sequence[Target], timeout: float, retries: int) -> Patience:
        """Return what a request grants its sites."""
        suspects = {place for place, target in enumerate(targets) if target in self.hung}
        known = {p: self.took[target] for p, target in enumerate(targets) if target in self.took}
        return Patience(timeout, retries, suspects, known)

    def learn(self, targets: Sequence[Target], patience: Patience) -> None:
        """Take note of how a request went."""
        self.hung -= set(targets)
        self.hung |= {targets[place] for place in patience.hung}
        self.took |= {targets[place]: seconds for place, seconds in patience.took.items()}
