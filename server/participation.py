"""Who takes part in a round, and in what; a function of the scenario and the standing alone.

Without a rollout all hospitals are there in every round and train in full.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from federated.exchange.wire import Order
from federated.rollout.policy import handed_in, select
from federated.rollout.scenario import FEWEST_IMAGES, HOURS_PER_WEEK
from server.cell import Cell
from server.standing import Standing


@dataclass(frozen=True)
class Roster:
    """Who does what in a round; sites in name order.

    Attributes:
        present: Sites that take part in anything.
        full: Those that train and count.
        frozen: Those that train only what is private.
        absent: Why each hospital that should be there is not: ``outage`` or ``missed``.
    """

    present: tuple[str, ...]
    full: tuple[str, ...]
    frozen: tuple[str, ...]
    absent: Mapping[str, str]


def round_start(cell: Cell, standing: Standing, round: int) -> float:
    """Return when a round begins: at its slot, or when the round before has ended; in hours."""
    slot = (round - 1) / cell.config.rollout.rounds_per_week
    return max(slot * HOURS_PER_WEEK, standing.hours)


def absences(cell: Cell, standing: Standing, round: int) -> dict[str, str]:
    """Return why each hospital is away in a round; empty for those that are there."""
    week = round_start(cell, standing, round) / HOURS_PER_WEEK
    seed = cell.config.rollout.seed
    return {name: h.absence(week, round, seed) for name, h in cell.scenario.hospitals.items()}


def roster_of(cell: Cell, standing: Standing, round: int) -> Roster:
    """Return who does what in a round."""
    rollout, reasons = cell.config.rollout, absences(cell, standing, round)
    present = [site for site, reason in reasons.items() if not reason]
    phases = {
        site: phase(cell, standing, site, round) for site in idle(cell, standing, present, round)
    }
    full = [site for site, doing in phases.items() if doing == "full"]
    return Roster(
        tuple(present),
        tuple(select(rollout, full, round) if cell.shares else full),
        tuple(site for site, doing in phases.items() if doing == "frozen"),
        {site: reason for site, reason in reasons.items() if reason in ("outage", "missed")},
    )


def idle(cell: Cell, standing: Standing, present: Sequence[str], round: int) -> list[str]:
    """Return the sites that can begin something when the round begins.

    A site that shares nothing waits for nobody: it begins when it is done with what it was at.
    """
    if not cell.shares:
        return list(present)
    start = round_start(cell, standing, round)
    busy = handed_in(cell.config.rollout, standing.waiting)
    return [s for s in present if s not in busy and standing.arrival.get(s, 0.0) <= start]


def phase(cell: Cell, standing: Standing, site: str, round: int) -> str:
    """Return what a site that is present does: ``full``, ``frozen`` or ``evaluate``."""
    rollout, week = cell.config.rollout, round_start(cell, standing, round) / HOURS_PER_WEEK
    if cell.scenario.hospitals[site].images(week, cell.train_images[site]) < FEWEST_IMAGES:
        return "evaluate"
    rounds_since = round - standing.joined.get(site, round)
    is_new = standing.is_newcomer(site, round) and rounds_since < rollout.join_rounds
    return rollout.join if is_new and cell.shares else "full"


def evaluators(cell: Cell, standing: Standing, roster: Roster, round: int) -> list[str]:
    """Return the sites that are there and not busy training; none in a round without evaluation."""
    if not cell.config.eval.is_due(round, cell.config.rounds):
        return []
    now = standing.hours
    return [s for s in roster.present if not cell.shares or standing.arrival.get(s, 0.0) <= now]


def unlearns(cell: Cell, site: str) -> bool:
    """Return whether the influence of ``site`` is to be taken back when it leaves."""
    # Where nothing is shared there is no influence on anybody.
    return cell.shares and cell.scenario.hospitals[site].calendar.unlearn


def orders(cell: Cell, standing: Standing, sites: Sequence[str], round: int) -> list[Order]:
    """Return an order for each site, sent at once or as soon as the site is free."""
    keep_all = any(unlearns(cell, site) for site in cell.scenario.hospitals)
    void = standing.void_text
    return [
        cell.order(
            site,
            round,
            week=max(standing.hours, standing.free.get(site, 0.0)) / HOURS_PER_WEEK,
            newcomer=cell.shares and standing.is_newcomer(site, round),
            void=void,
            keep_all=keep_all,
            after=standing.saved.get(site, 0),
        )
        for site in sites
    ]
