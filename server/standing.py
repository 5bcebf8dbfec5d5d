"""Where a cell stands in its rollout: part of every checkpoint, so that a resumed run knows."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from federated.rollout.policy import Update


@dataclass(frozen=True)
class Standing:
    """Virtual time and the hospitals' part in it, after a round.

    Attributes:
        hours: When the round ended, hours since week 0; while it is under way, when it began.
        arrival: When each site's latest update arrives; until then it is busy.
        free: When each site has done all that it was asked.
        joined: The round in which each site first met the federation.
        left: Sites that have left.
        waiting: Updates that a later round may use.
        void: First and last of rounds whose private state must not be used any more.
        saved: The newest round whose private state each site has, as far as it has told.
    """

    hours: float = 0.0
    arrival: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, float] = field(default_factory=dict)
    joined: Mapping[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    waiting: tuple[Update, ...] = ()
    void: tuple[tuple[int, int], ...] = ()
    saved: Mapping[str, int] = field(default_factory=dict)

    @property
    def void_text(self) -> str:
        """``void`` as orders carry it: ``3-7,9-12``."""
        return ",".join(f"{first}-{last}" for first, last in self.void)

    def is_newcomer(self, site: str, round: int) -> bool:
        """Return whether ``site`` joined after others had trained the weights.

        It stays one: until it has private state of its own it has yet to make some.
        """
        first = self._first_joined
        return first is not None and self.joined.get(site, round) > first

    @cached_property
    def _first_joined(self) -> int | None:
        """The round in which the first site joined, None before that.

        Every site asks for it, so that each going through all others would take longer than theirs.
        """
        return min(self.joined.values(), default=None)

    def joins(self, sites: Iterable[str], round: int) -> "Standing":
        """Return the standing after ``sites`` were met in ``round``."""
        return replace(self, joined={**dict.fromkeys(sites, round), **self.joined})

    def forgets(self, site: str, round: int) -> "Standing":
        """Return the standing once all since ``site`` joined is void; ``round`` comes next.

        Whoever joined since then has to join again, and updates on their way are void too.
        """
        first = self.joined[site]
        joined = {name: met for name, met in self.joined.items() if met < first}
        saved = {name: last for name, last in self.saved.items() if last < first}
        void = (*self.void, (first, round - 1))
        return replace(self, joined=joined, waiting=(), void=void, saved=saved)

    def saves(self, sites: Iterable[str], round: int) -> "Standing":
        """Return the standing once ``sites`` have ended something of ``round``."""
        return replace(self, saved={**self.saved, **dict.fromkeys(sites, round)})

    def leaves(self, site: str) -> "Standing":
        """Return the standing once ``site`` has left."""
        return replace(self, left=(*self.left, site))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Standing":
        """Return the standing that ``facts`` was made of, after JSON."""
        return cls(
            **{
                **facts,
                "left": tuple(facts["left"]),
                "waiting": tuple(Update(**update) for update in facts["waiting"]),
                "void": tuple((first, last) for first, last in facts["void"]),
            }
        )

    def facts(self) -> dict[str, Any]:
        """Return JSON values of which ``from_facts`` makes the standing again."""
        return asdict(self)
