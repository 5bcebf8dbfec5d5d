"""Round policies: which of the updates on their way make a round, and when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from federated.config.rollout import Rollout
from federated.rollout.scenario import draw


@dataclass(frozen=True)
class Update:
    """An update on its way to the server.

    Attributes:
        site: Who sent it.
        round: Whose weights it started from: those that the server sent in this round.
        arrival: When it arrives, hours since week 0.
        num_examples: Training images behind it.
    """

    site: str
    round: int
    arrival: float
    num_examples: int

    @property
    def key(self) -> str:
        """A name for it; a site may have two on their way, of different rounds."""
        return f"{self.round}-{self.site}"


@dataclass(frozen=True)
class Decision:
    """What a policy made of the updates.

    Attributes:
        used: Those that make the round, in name order.
        waiting: Those that a later round may use.
        dropped: Those that no round will use.
        end: When the round ends, hours since week 0.
    """

    used: tuple[Update, ...]
    waiting: tuple[Update, ...]
    dropped: tuple[Update, ...]
    end: float


def needs_every_update(rollout: Rollout) -> bool:
    """Return whether the server must hold each update by itself, because not all may count."""
    return rollout.policy != "wait" or rollout.select > 0


def select(rollout: Rollout, present: Sequence[str], round: int) -> list[str]:
    """Return the hospitals that a round asks: all, or ``select + spare`` drawn at random.

    The draw depends on ``rollout.seed``, the names and the round alone.
    """
    wanted = rollout.select + rollout.spare
    if not rollout.select or wanted >= len(present):
        return sorted(present)
    lots = sorted(present, key=lambda site: (draw(rollout.seed, site, round, "select"), site))
    return sorted(lots[:wanted])


def handed_in(rollout: Rollout, updates: Sequence[Update]) -> set[str]:
    """Return the hospitals that are not asked again until their last update has been used.

    With ``fedbuff`` and ``fedasync``: else more updates could come in than rounds use up, and the
    server would work through older and older ones.
    """
    return {update.site for update in updates} if is_asynchronous(rollout) else set()


def is_asynchronous(rollout: Rollout) -> bool:
    """Return whether rounds end without waiting for all, and no update is ever late."""
    return rollout.policy in ("fedbuff", "fedasync")


def decide(rollout: Rollout, updates: Sequence[Update], start: float) -> Decision:
    """Return which updates make the round that began at ``start``.

    ``wait`` takes all; ``deadline`` those that arrive within ``deadline-hours``; both take only the
    first ``select`` if that is set. ``fedbuff`` takes the first ``buffer`` (Nguyen et al. 2022,
    arXiv 2106.06639), ``fedasync`` the first one (Xie et al. 2019, arXiv 1903.03934); with them
    nothing is late. Updates that arrive together are ordered by name.
    """
    queue = sorted(updates, key=lambda update: (update.arrival, update.site))
    limit = start + rollout.deadline_hours if rollout.policy == "deadline" else float("inf")
    most = {"fedbuff": rollout.buffer, "fedasync": 1}.get(rollout.policy, rollout.select)
    in_time = [update for update in queue if update.arrival <= limit]
    used = in_time[:most] if most else in_time
    rest = queue[len(used) :]
    filled = most and len(used) == most
    last = max([start, *(update.arrival for update in used)])
    end = limit if len(in_time) < len(queue) and not filled else last
    keep = is_asynchronous(rollout) or rollout.late == "next-round"
    return Decision(
        used=tuple(sorted(used, key=lambda update: update.site)),
        waiting=tuple(rest) if keep else (),
        dropped=() if keep else tuple(rest),
        end=end,
    )


def discount(rollout: Rollout, staleness: int) -> float:
    """Return how much an update from ``staleness`` rounds ago counts: (1 + s)^-a."""
    return float((1 + staleness) ** -rollout.staleness)
