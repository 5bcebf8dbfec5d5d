"""The ends of hospitals: last steps, and unlearning those that ask for it when they leave."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from federated.exchange.actions import Action
from federated.exchange.wire import pack_groups
from server import checkpoint
from server.asking import ask
from server.cell import Cell, RunStoppedError
from server.checkpoint import Checkpoint
from server.participation import absences, orders, round_start, unlearns
from server.standing import Standing


def without_leavers(cell: Cell, before: Checkpoint, round: int) -> Checkpoint:
    """Return the checkpoint once those that have left before a round have done their last steps."""
    for site in leavers(cell, before.standing, round):
        standing = before.standing
        # A hospital that cannot be reached any more stops nobody.
        with suppress(RunStoppedError):
            last_look(cell, before, site, round - 1)
            last_steps(cell, standing, [site], round - 1)
        hours = round_start(cell, standing, round)
        cell.emit("hospital-left", round=round, site=site, hours=hours)
        if unlearns(cell, site):
            before = unlearned(cell, before, site, round)
        before = replace(before, standing=before.standing.leaves(site))
    return before


def leavers(cell: Cell, standing: Standing, round: int) -> list[str]:
    """Return the hospitals that have left since the last round."""
    reasons = absences(cell, standing, round)
    gone = [site for site, reason in reasons.items() if reason == "has left"]
    return [site for site in gone if site in standing.joined and site not in standing.left]


def unlearned(cell: Cell, before: Checkpoint, site: str, round: int) -> Checkpoint:
    """Return the checkpoint with the weights and the optimiser from before a hospital joined.

    What its weights have touched since, at the server and in the others' vaults, is not used any
    more.
    """
    back_to = before.standing.joined[site] - 1
    cell.emit("unlearned", round=round, site=site, back_to=back_to)
    return replace(
        before,
        server=checkpoint.load_before(cell.folder, site),
        standing=before.standing.forgets(site, round),
        # Even an earlier round was kept only in comparison with those that are void.
        kept_round=0,
        kept_score=None,
        scores=(),
    )


def last_look(cell: Cell, before: Checkpoint, site: str, round: int) -> None:
    """Let a site that leaves between two evaluations keep the newest weights, if it prefers them.

    Without this, one that leaves before the first evaluation would leave with no model at all. The
    look is for its choice alone and no evaluation of the round, so its numbers are not recorded.
    """
    if not cell.config.eval.is_due(round, cell.config.rounds):
        order = orders(cell, before.standing, [site], round)
        ask(cell, Action.EVALUATE, order, pack_groups(before.server.shared))


def last_steps(cell: Cell, standing: Standing, sites: Sequence[str], round: int) -> None:
    """Let sites do their last steps, and record what they report."""
    replies = ask(cell, Action.FINISH, orders(cell, standing, sites, round), {})
    cell.record.add(cell.method, cell.seed, round, replies.reports)
