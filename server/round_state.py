"""One round as it goes along: each of its steps takes it and returns it with more in it."""

from dataclasses import dataclass, field

from federated.rollout.policy import Decision
from server.asking import Replies
from server.participation import Roster
from server.rules import ServerState
from server.standing import Standing


@dataclass(frozen=True)
class Round:
    """A round under way.

    Attributes:
        number: 1-based.
        roster: Who does what in it.
        server: What the server has: at first what it sends, later what it made of the releases.
        standing: Where the cell stands in its rollout.
        trained: Replies of those that trained and count.
        tuned: Replies of those that trained only what is private.
        evaluated: Replies of those that evaluated the new weights.
        decision: Which updates count, in virtual time; None where all of this round's do.
    """

    number: int
    roster: Roster
    server: ServerState
    standing: Standing
    trained: Replies = field(default_factory=Replies)
    tuned: Replies = field(default_factory=Replies)
    evaluated: Replies = field(default_factory=Replies)
    decision: Decision | None = None
