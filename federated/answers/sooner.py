"""When a hospital reached its target, and how much sooner than alone, in words."""

from math import ceil, isnan
from typing import NamedTuple

import pandas as pd

from federated.config.presets import ALONE
from federated.plots.text import DASH
from federated.plots.time_axis import unit_of, when
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.reading import Run
from federated.statistics.targets import IN_A_ROW, middle


class Course(NamedTuple):
    """Of one hospital and method over seeds: what it wants and when it had it, in ``Clock`` units.

    Attributes:
        target: AUC; NaN: it has none.
        low: Of the target's interval, and ``high``; NaN if there is none.
        high: See ``low``.
        together: When it was reached, the median over seeds; NaN: never.
        alone: The same alone.
        seeds: How many there are.
        reached: In how many of them it was reached together.
        alone_reached: In how many it was reached alone.
        evaluations: The fewest of a seed.
    """

    target: float
    low: float
    high: float
    together: float
    alone: float
    seeds: int
    reached: int
    alone_reached: int
    evaluations: int

    @property
    def is_too_short(self) -> bool:
        """Whether there are too few evaluations to say that a target was reached."""
        return self.evaluations < IN_A_ROW


class Clock(NamedTuple):
    """In what a run counts its time: weeks or hours of a rollout, else rounds."""

    run: Run
    column: str
    unit: str
    size: float
    end: int
    has_alone: bool

    def course(self, rows: pd.DataFrame) -> Course:
        """Return the course of one hospital and method, of rows of ``benefit.numbers``."""
        together, first = rows[f"reached_{self.column}"], rows.iloc[0]
        alone = rows[f"alone_{self.column}"]
        return Course(
            target=float(first["target"]),
            low=float(first["target_low"]),
            high=float(first["target_high"]),
            together=middle(together) / self.size,
            alone=middle(alone) / self.size,
            seeds=len(rows),
            reached=int(together.notna().sum()),
            alone_reached=int(alone.notna().sum()),
            evaluations=int(rows["evaluations"].fillna(0).min()),
        )

    def moment(self, time: float) -> str:
        """Return a time as ``week 6``, a date, ``hour 3`` or ``round 12``."""
        if self.column == "round":
            return f"round {time:g}"
        return when(self.run, time * self.size / HOURS_PER_WEEK)

    def never(self) -> str:
        """Return ``never in 52 weeks``."""
        return f"never in {self.span(self.end)}"

    def span(self, time: float) -> str:
        """Return ``1 week``, ``2.5 weeks``."""
        amount = round(time, 1)
        return f"{amount:g} {self.unit if amount != 1 else self.unit.removesuffix('s')}"

    def difference(self, sooner: float) -> str:
        """Return ``3 weeks sooner``, ``6 weeks later`` or ``at the same time``."""
        if not round(sooner, 1):
            return "at the same time"
        return f"{self.span(abs(sooner))} {'sooner' if sooner > 0 else 'later'}"


def clock_of(run: Run) -> Clock:
    """Return in what the run counts its time."""
    has_alone = ALONE in run.study.common.methods
    if run.timeline.empty:
        end = max(run.reached.values(), default=0)
        return Clock(run, "round", "rounds", 1.0, end, has_alone)
    unit, size = unit_of(run)
    return Clock(run, "hours", unit, size, ceil(run.last_hour / size), has_alone)


def target_words(course: Course) -> str:
    """Return a target with its interval, if there is one; AUC lies between 0 and 1."""
    if isnan(course.target):
        return DASH
    if isnan(course.low):
        return f"{course.target:.3f}"
    return f"{course.target:.3f} [{max(course.low, 0):.3f}, {min(course.high, 1):.3f}]"


def together_words(clock: Clock, course: Course) -> str:
    """Return when a target was reached together, or that it never was."""
    if course.is_too_short:
        return "too few evaluations"
    return _time_words(clock, course, course.together, course.reached)


def alone_words(clock: Clock, course: Course) -> str:
    """Return when a target was reached alone, or that it never was."""
    return _time_words(clock, course, course.alone, course.alone_reached)


def _time_words(clock: Clock, course: Course, time: float, reached: int) -> str:
    if isnan(course.target):
        return DASH
    seeds = f"{reached} of {course.seeds} seeds"
    if isnan(time):
        return f"in {seeds} only" if reached else clock.never()
    return clock.moment(time) + (f" ({seeds})" if reached < course.seeds else "")


def against_alone(clock: Clock, course: Course) -> str:
    """Return how a hospital fares together against itself alone, in few words."""
    if isnan(course.target) or course.is_too_short:
        return DASH
    is_together, is_alone = not isnan(course.together), not isnan(course.alone)
    if is_together and is_alone:
        return clock.difference(course.alone - course.together)
    if is_together:
        return "mostly together" if course.alone_reached else "only together"
    if is_alone:
        return "mostly alone" if course.reached else "only alone"
    return DASH if course.reached or course.alone_reached else "neither"


def sentence_of(clock: Clock, site: str, method: str, course: Course) -> str:
    """Return what the target, together and alone come to, as a sentence."""
    if isnan(course.target):
        return f"{site} has no target: it was not evaluated alone, and none is stated."
    if course.is_too_short:
        return (
            f"With {method} {site} was evaluated {course.evaluations} times; {IN_A_ROW} are needed "
            "to say whether it reached its target."
        )
    wants = f"its target AUC of {target_words(course)}"
    if not course.reached:
        end = f"never reached {wants} in {clock.span(clock.end)}"
    elif isnan(course.together):
        end = f"reached {wants} {together_words(clock, course)}"
    else:
        end = f"reached {wants} by {together_words(clock, course)}"
    return f"With {method} {site} {end}{_alone_clause(clock, course)}."


def _alone_clause(clock: Clock, course: Course) -> str:
    """Return the part of the sentence that tells of the hospital alone."""
    if not clock.has_alone:
        return ""
    if not isnan(course.alone) and not isnan(course.together):
        words = clock.difference(course.alone - course.together)
        return ", at the same time as alone" if words.startswith("at") else f", {words} than alone"
    if course.alone_reached:
        words = _time_words(clock, course, course.alone, course.alone_reached)
        return f"; alone it did {words if isnan(course.alone) else f'by {words}'}"
    return "; alone it never did" if course.reached else ", nor did it alone"
