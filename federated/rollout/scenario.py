"""A scenario: for every hospital of the run, when it takes part and what it can do."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from federated.config.rollout import Calendar, Rollout
from federated.errors import UserError, did_you_mean
from federated.seeding import seed_for

HOURS_PER_WEEK = 168.0

Windows = tuple[tuple[float, float], ...]
"""Intervals of weeks, the first included, the last not."""

FEWEST_IMAGES = 2
"""Batch statistics need two images; a hospital with fewer evaluates and trains nothing."""


@dataclass(frozen=True)
class Hospital:
    """One hospital's part in a rollout; every moment in weeks since week 0.

    Attributes:
        calendar: What the scenario says of it, as written.
        go_live: When it joins.
        leave: When it leaves, infinity if it never does.
        outages: When it is away.
        garbage: When it sends garbage.
        new_scanner: When its scanner is replaced, infinity if it never is.
    """

    name: str
    calendar: Calendar
    go_live: float
    leave: float
    outages: Windows
    garbage: Windows
    new_scanner: float

    def absence(self, week: float, round: int, seed: int) -> str:
        """Return why it takes no part in a round that begins in ``week``; empty if it does.

        Whether it misses the round is drawn from ``seed``, its name and the round alone.
        """
        if week < self.go_live:
            return "not yet live"
        if week >= self.leave:
            return "has left"
        if inside(self.outages, week):
            return "outage"
        if self.calendar.miss and draw(seed, self.name, round, "miss") < self.calendar.miss:
            return "missed"
        return ""

    def images(self, week: float, in_all: int) -> int:
        """Return how many of its training images exist by ``week``.

        Before it goes live as many as on that day.
        """
        if self.calendar.images < 0:
            return in_all
        grown = self.calendar.images + self.calendar.images_per_week * max(0.0, week - self.go_live)
        return min(in_all, math.floor(grown))


@dataclass(frozen=True)
class Scenario:
    """The hospitals of a run by name, sorted, those left out by ``rollout.only`` not among them."""

    hospitals: Mapping[str, Hospital]


def scenario_of(
    rollout: Rollout, calendars: Sequence[tuple[str, Calendar]], names: Sequence[str]
) -> Scenario:
    """Return the scenario of the hospitals ``names``; without tables all are there all the time.

    A table ``hospital.NAME`` is of that hospital. Groups take the hospitals that no table names, in
    name order, ``count`` each.

    Raises:
        UserError: a table names no hospital of the run, groups need more hospitals than there are,
            or a moment cannot be read.
    """
    if rollout.start and not is_date(rollout.start):
        raise UserError(f"rollout.start = '{rollout.start}' is no date such as 2026-01-05.")
    tables = dict(calendars)
    named = {key.partition(".")[2] for key in tables if key.startswith("hospital.")}
    for name in sorted(named - set(names)):
        raise UserError(
            f"[rollout.hospital.{name}] is none of the {len(names)} hospitals of the run"
            f"{did_you_mean(name, names)}."
        )
    of = {name: tables.get(f"hospital.{name}", Calendar()) for name in names}
    left = [name for name in names if name not in named]
    later: dict[str, float] = {}
    for key, group in tables.items():
        if not key.startswith("group."):
            continue
        if group.count < 1:
            raise UserError(f"[rollout.{key}] needs count: how many hospitals it is.")
        if group.count > len(left):
            raise UserError(
                f"[rollout.{key}] wants {group.count} hospitals, but only {len(left)} of the "
                f"{len(names)} are left; raise phantom.sites or partition.sites."
            )
        for place, name in enumerate(left[: group.count]):
            of[name], later[name] = group, place * group.every
        left = left[group.count :]
    resolved = {
        name: _resolve(name, of[name], rollout, later.get(name, 0.0)) for name in sorted(names)
    }
    return Scenario(_only(resolved, rollout.only))


def _only(hospitals: Mapping[str, Hospital], only: str) -> Mapping[str, Hospital]:
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    for name in wanted:
        if name not in hospitals:
            raise UserError(
                f"rollout.only: there is no hospital {name}{did_you_mean(name, hospitals)}."
            )
    return {name: h for name, h in hospitals.items() if not wanted or name in wanted}


def _resolve(name: str, calendar: Calendar, rollout: Rollout, later: float) -> Hospital:
    try:
        hospital = Hospital(
            name,
            replace(calendar, count=0, every=0.0),
            moment(calendar.go_live, rollout) + later,
            moment(calendar.leave, rollout) if calendar.leave else math.inf,
            windows(calendar.outages, rollout),
            windows(calendar.garbage, rollout),
            moment(calendar.new_scanner, rollout) if calendar.new_scanner else math.inf,
        )
    except ValueError as error:
        raise UserError(f"rollout, hospital {name}: {error}") from None
    if hospital.leave <= hospital.go_live:
        raise UserError(f"rollout, hospital {name}: it leaves before it goes live.")
    return hospital


def moment(text: str, rollout: Rollout) -> float:
    """Return a moment in weeks since week 0.

    Args:
        text: A week (``8``, ``week 8``), a round (``round 5``) or a date (``2026-03-02``).
        rollout: For the date of week 0 and the slots of rounds.

    Raises:
        ValueError: it is none of these, or a date without ``rollout.start`` or before it.
    """
    text = text.strip()
    if text.startswith("round "):
        return (float(text.removeprefix("round ")) - 1) / rollout.rounds_per_week
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        if not rollout.start:
            raise ValueError(f"'{text}' is a date; set rollout.start, the date of week 0.")
        weeks = (date.fromisoformat(text) - date.fromisoformat(rollout.start)).days / 7
    else:
        try:
            weeks = float(text.removeprefix("week "))
        except ValueError:
            raise ValueError(f"'{text}' is no week, no `round N` and no date.") from None
    if not 0 <= weeks < math.inf:
        raise ValueError(f"'{text}' lies before week 0.")
    return weeks


def is_date(text: str) -> bool:
    """Return whether ``text`` is a date such as 2026-01-05."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def windows(text: str, rollout: Rollout) -> Windows:
    """Return intervals of weeks: ``10-12`` is [10, 12), ``30`` is [30, 31), ``A/B`` of moments."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        weeks = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", part)
        if weeks:
            begin, end = float(weeks[1]), float(weeks[2])
        elif "/" in part:
            first, _, last = part.partition("/")
            begin, end = moment(first, rollout), moment(last, rollout)
        else:
            begin = moment(part, rollout)
            end = begin + 1
        if end <= begin:
            raise ValueError(f"'{part}' ends before it begins.")
        found.append((begin, end))
    return tuple(found)


def inside(intervals: Iterable[tuple[float, float]], week: float) -> bool:
    """Return whether ``week`` lies in one of the intervals."""
    return any(begin <= week < end for begin, end in intervals)


def draw(seed: int, name: str, round: int, purpose: str) -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments."""
    return seed_for(seed, name, round, f"rollout {purpose}") / 2.0**63


def date_of(week: float, rollout: Rollout) -> str:
    """Return the date of a week, or ``week N`` if the rollout has no start date."""
    if not rollout.start:
        return f"week {week:g}"
    return (date.fromisoformat(rollout.start) + timedelta(days=week * 7)).isoformat()
