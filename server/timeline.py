"""Virtual time beside the rounds: when everybody has done what, and which updates are in time.

A run without a rollout has a ``Timeline`` that does nothing.
"""

from collections.abc import Mapping
from dataclasses import replace

from federated.config.schema import Config
from federated.exchange.replies import Reply
from federated.rollout import clock
from federated.rollout.clock import Trip
from federated.rollout.policy import Decision, decide
from federated.rollout.scenario import HOURS_PER_WEEK
from server.cell import Cell
from server.record import Span
from server.round_state import Round
from server.standing import Standing
from server.updates import sent_updates


class Timeline:
    """No virtual time: every round is handed back as it is, and nothing is recorded."""

    def begun(self, round: Round) -> None:
        """Take note of who joins and who is away."""

    def trained(self, round: Round) -> Round:
        """Return the round with its training on the way."""
        return round

    def decided(self, round: Round) -> Round:
        """Return the round with the decision which updates make it, and when it ends."""
        return round

    def evaluated(self, round: Round) -> Round:
        """Return the round with its evaluation on the way."""
        return round

    def facts(self, round: Round) -> dict[str, float]:
        """Return what the event ``round-ended`` says of virtual time."""
        return {}


class VirtualTime(Timeline):
    """The virtual time of a rollout, kept in the standing and written to timeline.csv."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def begun(self, round: Round) -> None:
        """Record who joins and who is away."""
        cell, number, standing = self._cell, round.number, round.standing
        for site in round.roster.present:
            if standing.joined[site] == number:
                cell.emit("hospital-joined", round=number, site=site, hours=standing.hours)
        for site, reason in round.roster.absent.items():
            cell.emit("hospital-absent", round=number, site=site, reason=reason)

    def trained(self, round: Round) -> Round:
        """Return the round with each site's update arriving when it does."""
        trips = self._trips(round.standing, {**round.trained.by_site, **round.tuned.by_site})
        self._record(round, [span for site, trip in trips.items() for span in legs(site, trip)])
        arrival = {site: trip.arrival for site, trip in trips.items()}
        standing = kept_busy(round.standing, trips)
        return replace(round, standing=replace(standing, arrival={**standing.arrival, **arrival}))

    def decided(self, round: Round) -> Round:
        """Return the round with what its policy makes of the updates; it ends when that is known.

        Where nothing is shared nobody waits for an update.
        """
        cell, standing = self._cell, round.standing
        if not cell.shares:
            return round
        updates = (*standing.waiting, *sent_updates(round))
        decision = decide(cell.config.rollout, updates, standing.hours)
        whole = Span("", "round", standing.hours, decision.end)
        self._record(round, [whole, *fates(decision)])
        standing = replace(standing, hours=decision.end, waiting=decision.waiting)
        return replace(round, decision=decision, standing=standing)

    def evaluated(self, round: Round) -> Round:
        """Return the round with its sites busy until they have evaluated."""
        trips = self._trips(round.standing, round.evaluated.by_site)
        self._record(
            round,
            [Span(site, "evaluate", trip.start, trip.arrival) for site, trip in trips.items()],
        )
        return replace(round, standing=kept_busy(round.standing, trips))

    def facts(self, round: Round) -> dict[str, float]:
        """Return the week in which the round ended."""
        return {"week": round.standing.hours / HOURS_PER_WEEK}

    def _trips(self, standing: Standing, replies: Mapping[str, Reply]) -> dict[str, Trip]:
        """Return each reply's trip, from an order sent at once or when the site is free."""
        return {
            site: clock.trip(
                self._cell.scenario.hospitals[site].calendar,
                self._cell.config.rollout.image_seconds,
                start=max(standing.hours, standing.free.get(site, 0.0)),
                bytes_down=reply.bytes_down,
                images=images_computed(reply),
                bytes_up=reply.bytes_up,
            )
            for site, reply in replies.items()
        }

    def _record(self, round: Round, spans: list[Span]) -> None:
        self._cell.record.add_spans(self._cell.method, self._cell.seed, round.number, spans)


def timeline_of(cell: Cell) -> Timeline:
    """Return the virtual time of a cell's rollout, or what does nothing without one."""
    return VirtualTime(cell) if has_rollout(cell.config) else Timeline()


def has_rollout(config: Config) -> bool:
    """Return whether a run has a rollout at all; without one no timeline is written."""
    return bool(config.calendars) or config.rollout != type(config.rollout)()


def kept_busy(standing: Standing, trips: Mapping[str, Trip]) -> Standing:
    """Return the standing in which no site is free before its trip is over."""
    ends = {site: trip.arrival for site, trip in trips.items()}
    return replace(standing, free={**standing.free, **ends})


def images_computed(reply: Reply) -> float:
    """Return images seen in training, and a third of those evaluated: a forward pass alone."""
    seen = sum(r.metrics.get("images_seen", 0.0) for r in reply.reports)
    evaluated = sum(r.num_examples for r in reply.reports if r.split != "train")
    return seen + evaluated * clock.EVALUATION_SHARE


def legs(site: str, trip: Trip) -> list[Span]:
    """Return timeline rows of a trip to train, transfers that take no time left out."""
    rows = [Span(site, "train", trip.down, trip.done)]
    if trip.down > trip.start:
        rows.append(Span(site, "download", trip.start, trip.down))
    if trip.arrival > trip.done:
        rows.append(Span(site, "upload", trip.done, trip.arrival))
    return rows


def fates(decision: Decision) -> list[Span]:
    """Return timeline rows of what became of the updates, from arrival to the round's end."""
    fate = {"used": decision.used, "waiting": decision.waiting, "dropped": decision.dropped}
    return [
        Span(update.site, activity, update.arrival, max(decision.end, update.arrival))
        for activity, updates in fate.items()
        for update in updates
    ]
