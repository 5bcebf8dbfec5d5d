"""From the sum of a round's releases to what the server has next."""

from federated.exchange.exact import ExactSum
from server.cell import Cell
from server.noise import noised_mean
from server.rules import NotFiniteError, ServerState, step


def stepped(cell: Cell, server: ServerState, total: ExactSum | None, round: int) -> ServerState:
    """Return what the server has after its step; without any release it stays as it is.

    Args:
        cell: With the settings of the step and the method's own rule.
        server: What it had before.
        total: The weighted sum of the releases.
        round: The round's number.

    Raises:
        RunStoppedError: a value is not finite; it is neither saved nor sent.
    """
    if total is None:
        return server
    settings, share = cell.config.server, total.weight / cell.weight_of_all
    mean = noised_mean(cell, total.mean(), total.weight, round)
    try:
        return step(server, mean, settings, share=share, rule=cell.server_rule)
    except NotFiniteError as error:
        raise cell.stopped(
            round,
            f"the server's step makes {error} not finite",
            f"lower server.lr, which is {settings.learning_rate:g} with server.optimizer = "
            f"{settings.optimizer}, and run again into another folder.",
        ) from error
