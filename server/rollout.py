"""A round in virtual time: who is there, how long everyone takes, whose updates count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from federated.config.schema import Config
from federated.exchange.replies import Reply
from federated.exchange.wire import Order
from federated.rollout.clock import EVALUATION_SHARE, Trip, trip
from federated.rollout.policy import Flight, discount, handed_in, needs_every_update, select
from federated.rollout.scenario import FEWEST_IMAGES, HOURS_PER_WEEK
from server.asking import Cell
from server.record import Span
from server.rules import Arrays, Contribution, ServerState
from server.standing import Standing


def is_timed(config: Config) -> bool:
    """Return whether a run has a rollout at all; without one no timeline is written."""
    return bool(config.calendars) or config.rollout != type(config.rollout)()


@dataclass(frozen=True)
class Plan:
    """What a round is about to do; sites in name order.

    Attributes:
        start: When it begins, hours since week 0.
        present: Sites that take part in anything.
        full: Those that train and count.
        frozen: Those that train only what is private.
        absent: Why each hospital that should be there is not: ``outage`` or ``missed``.
    """

    start: float
    present: tuple[str, ...]
    full: tuple[str, ...]
    frozen: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)


def round_start(cell: Cell, standing: Standing, round: int) -> float:
    """Return when a round begins: at its slot, or when the round before has ended."""
    slot = (round - 1) / cell.config.rollout.rounds_per_week
    return max(slot * HOURS_PER_WEEK, standing.hours)


def absences(cell: Cell, standing: Standing, round: int) -> dict[str, str]:
    """Return why each hospital is away in a round; empty for those that are there."""
    week = round_start(cell, standing, round) / HOURS_PER_WEEK
    seed = cell.config.rollout.seed
    return {name: h.absence(week, round, seed) for name, h in cell.scenario.hospitals.items()}


def leaving(cell: Cell, standing: Standing, round: int) -> list[str]:
    """Return the hospitals that have left since the last round."""
    gone = [name for name, why in absences(cell, standing, round).items() if why == "has left"]
    return [name for name in gone if name in standing.joined and name not in standing.left]


def plan_round(cell: Cell, standing: Standing, round: int) -> Plan:
    """Return who does what in a round; a function of the scenario and the standing alone."""
    rollout, start = cell.config.rollout, round_start(cell, standing, round)
    if cell.config.train.pooled:
        return Plan(start, tuple(cell.addressed), tuple(cell.addressed), ())
    why = absences(cell, standing, round)
    present = [name for name, reason in why.items() if not reason]
    # A site that shares nothing waits for nobody: it begins when it is done with what it was at.
    alone = not cell.boundary.shared
    busy = set() if alone else handed_in(rollout, standing.flights)
    idle = [
        name
        for name in present
        if alone or (standing.arrival.get(name, 0.0) <= start and name not in busy)
    ]
    phases = {name: phase(cell, standing, name, round, start / HOURS_PER_WEEK) for name in idle}
    full = [name for name in idle if phases[name] == "full"]
    return Plan(
        start,
        tuple(present),
        tuple(full if alone else select(rollout, full, round)),
        tuple(name for name in idle if phases[name] == "frozen"),
        {name: reason for name, reason in why.items() if reason in ("outage", "missed")},
    )


def phase(cell: Cell, standing: Standing, site: str, round: int, week: float) -> str:
    """Return what a site that is present does: ``full``, ``frozen`` or ``evaluate``."""
    rollout = cell.config.rollout
    if cell.scenario.hospitals[site].images(week, cell.train_images[site]) < FEWEST_IMAGES:
        return "evaluate"
    rounds_since = round - standing.joined.get(site, round)
    is_new = standing.is_newcomer(site, round) and rounds_since < rollout.join_rounds
    return rollout.join if is_new and cell.boundary.shared else "full"


def unlearns(cell: Cell, site: str) -> bool:
    """Return whether the influence of ``site`` is to be taken back when it leaves."""
    # Where nothing is shared there is no influence on anybody.
    hospital = cell.scenario.hospitals.get(site)
    return hospital is not None and hospital.calendar.unlearn and bool(cell.boundary.shared)


def orders(
    cell: Cell, standing: Standing, sites: Sequence[str], round: int, hours: float
) -> list[Order]:
    """Return an order for each site, sent at ``hours`` or as soon as the site is free."""
    keep_all = any(unlearns(cell, name) for name in cell.scenario.hospitals)
    return [
        cell.order(
            site,
            round,
            week=max(hours, standing.free.get(site, 0.0)) / HOURS_PER_WEEK,
            newcomer=bool(cell.boundary.shared) and standing.is_newcomer(site, round),
            void=standing.void_text,
            keep_all=keep_all,
        )
        for site in sites
    ]


def trips(
    cell: Cell, standing: Standing, answers: Mapping[str, Reply], hours: float
) -> dict[str, Trip]:
    """Return the way of each answer, from an order sent at ``hours`` or when the site is free."""
    return {
        site: trip(
            cell.scenario.hospitals[site].calendar,
            cell.config.rollout.image_seconds,
            start=max(hours, standing.free.get(site, 0.0)),
            bytes_down=answer.bytes_down,
            images=images_computed(answer),
            bytes_up=answer.bytes_up,
        )
        for site, answer in answers.items()
        if site in cell.scenario.hospitals
    }


def images_computed(answer: Reply) -> float:
    """Return images seen in training, and a third of those evaluated: a forward pass alone."""
    seen = sum(r.metrics.get("images_seen", 0.0) for r in answer.reports)
    evaluated = sum(r.num_examples for r in answer.reports if r.split != "train")
    return seen + evaluated * EVALUATION_SHARE


def after_trips(standing: Standing, ways: Mapping[str, Trip], *, updates: bool) -> Standing:
    """Return the standing once these trips are under way."""
    ends = {site: way.arrival for site, way in ways.items()}
    arrival = {**standing.arrival, **ends} if updates else standing.arrival
    return replace(standing, free={**standing.free, **ends}, arrival=arrival)


def spans(ways: Mapping[str, Trip]) -> list[Span]:
    """Return timeline rows of trips to train, transfers that take no time left out."""
    rows = []
    for site, way in ways.items():
        rows.append(Span(site, "train", way.down, way.done))
        if way.down > way.start:
            rows.append(Span(site, "download", way.start, way.down))
        if way.arrival > way.done:
            rows.append(Span(site, "upload", way.done, way.arrival))
    return rows


def contributions(
    cell: Cell, state: ServerState, used: Sequence[Flight], round: int
) -> list[Contribution]:
    """Return what each used update stands for, in terms of the present weights.

    A fresh one stands for itself. A stale one is its change of the weights it started from, applied
    to the present ones and discounted by its age (FedBuff); ``fedasync`` mixes an update's weights
    into the present ones.
    """
    rollout = cell.config.rollout
    parts = []
    for flight in used:
        arrays, share = state.updates[flight.key], discount(rollout, round - flight.round)
        if rollout.policy == "fedasync":
            arrays = moved(state.shared, arrays, state.shared, rollout.mixing * share)
        elif flight.round < round:
            arrays = moved(state.shared, arrays, state.bases[flight.round], share)
        parts.append((arrays, flight.num_examples))
    return parts


def moved(weights: Arrays, update: Arrays, base: Arrays, share: float) -> Arrays:
    """Return ``weights + share x (update - base)`` in float64."""
    return {
        name: weights[name].astype(float) + share * (update[name].astype(float) - base[name])
        for name in weights
    }


def keeps_updates(cell: Cell) -> bool:
    """Return whether the server holds each update by itself."""
    return bool(cell.boundary.shared) and needs_every_update(cell.config.rollout)
