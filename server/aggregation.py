"""From what a round's releases make together to what the server has next."""

from dataclasses import dataclass, replace

from federated.exchange.lengths import Sums
from server.bounding import Bound, bounded_mean, weight_of
from server.cell import Cell
from server.noise import noised_mean
from server.rules import Arrays, NotFiniteError, ServerRule, ServerState, step


@dataclass(frozen=True)
class Aggregate:
    """What a round's releases make together.

    Attributes:
        mean: Their weighted mean, or what a rule puts in its place, by ``GROUP/NAME``.
        weight: The sum of their weights.
    """

    mean: Arrays
    weight: int

    @classmethod
    def of(cls, sums: Sums, present: Arrays, bound: Bound) -> "Aggregate | None":
        """Return the mean of sums, None if nothing was added up; as for ``bounded_mean``."""
        return cls(bounded_mean(sums, present, bound), weight_of(sums)) if sums else None


def stepped(cell: Cell, server: ServerState, made: Aggregate | None, round: int) -> ServerState:
    """Return what the server has after its step; without any release it stays as it is.

    Args:
        cell: With the settings of the step and the method's own rule.
        server: What it had before.
        made: What the releases make together.
        round: The round's number.

    Raises:
        RunStoppedError: a value is not finite; it is neither saved nor sent.
    """
    if made is None:
        return server
    settings, share = cell.config.server, made.weight / cell.weight_of_all
    mean = noised_mean(cell, made.mean, made.weight, round)
    try:
        return step(
            server, mean, settings, share=share, rule=rule_of(cell), untrained=cell.untrained
        )
    except NotFiniteError as error:
        raise cell.stopped(
            round,
            f"the server's step makes {error} not finite",
            f"lower server.lr, which is {settings.learning_rate:g} with server.optimizer = "
            f"{settings.optimizer}, and run again into another folder.",
        ) from error


def rule_of(cell: Cell) -> ServerRule | None:
    """Return the method's own rule, which is told the method's settings; None if it has none."""
    rule = cell.server_rule
    return None if rule is None else lambda round: rule(replace(round, config=cell.config))
