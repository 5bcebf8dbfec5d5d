"""What an attack found: numbers with intervals, the same of its control, and a verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from federated.statistics.interval import LEVEL, Interval

SUCCEEDS = "attack succeeds"
NOT_SHOWN = "not shown to succeed although its control does"
INCONCLUSIVE = "inconclusive"

ERROR = 0.025
"""Of calling a guess more than one, over all that is tried in a case."""

AS_IS = "what the method shares"

COLUMNS = (
    "attack",
    "setting",
    "variant",
    "sees",
    "of",
    "metric",
    "value",
    "low",
    "high",
    "count",
    "verdict",
)
"""Of ``audit.csv``; ``of`` is attack, control, chance or a variant's name."""


@dataclass(frozen=True)
class Number:
    """One number of an attack.

    Attributes:
        metric: Its name.
        interval: Value, low and high; NaN where there is none.
        count: Of how many images, updates or others it is.
        note: What stands in place of a value that cannot be had.
    """

    metric: str
    interval: Interval
    count: int
    note: str = ""

    @property
    def text(self) -> str:
        """The number as a table shows it."""
        value, low, high = self.interval
        if self.note:
            return f"{self.metric}: {self.note}"
        shown = f"{self.metric}: {value:.3g}"
        if not math.isnan(low):
            shown += f" [{low:.3g}, {high:.3g}]"
        return (
            f"{shown}, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{self.count}"
            if self.count > 1
            else shown
        )


@dataclass(frozen=True)
class Case:
    """One attack in one setting.

    Attributes:
        attack: Its name.
        setting: What was attacked.
        variant: What a method would have to share for it; ``AS_IS`` is what this one does.
        sees: What the attacker has.
        got: What he got of it.
        control: The same where the attack is known to work.
        chance: The same of a guess, or where there is nothing to be had.
        succeeded: Whether he got more than a guess does.
        control_succeeded: Whether the control did; else nothing can be said.
        why: What made the case inconclusive, beside a control that failed.
    """

    attack: str
    setting: str
    variant: str
    sees: str
    got: Sequence[Number]
    control: Sequence[Number]
    chance: Sequence[Number]
    succeeded: bool
    control_succeeded: bool
    why: str = ""

    @property
    def verdict(self) -> str:
        """What can be said, in the words of this file."""
        if not self.control_succeeded or self.why:
            return INCONCLUSIVE
        return SUCCEEDS if self.succeeded else NOT_SHOWN

    @property
    def size(self) -> str:
        """How much he got, beside a guess, for who reads no table; empty where none was tried."""
        if not self.got:
            return ""
        first, *more = [number.text for number in self.got if not number.note]
        guess = [f"a guess: {self.chance[0].interval[0]:.3g}"] if self.chance else []
        return "; ".join([first, *guess, *more])

    @property
    def sentence(self) -> str:
        """The verdict as a sentence, with its size."""
        where = self.setting if self.variant == AS_IS else f"{self.setting}, {self.variant}"
        reason = self.why or "its control does not succeed, so that a failure would say nothing"
        ending = f" ({reason})" if self.verdict == INCONCLUSIVE else ""
        size = f" – {self.size}" if self.size else ""
        return f"{self.attack} {where}: {self.verdict}{ending}{size}."

    def rows(self) -> list[dict[str, object]]:
        """Return one row per number, by ``COLUMNS``."""
        parts = {"attack": self.got, "control": self.control, "chance": self.chance}
        return [
            dict(
                zip(
                    COLUMNS,
                    (
                        self.attack,
                        self.setting,
                        self.variant,
                        self.sees,
                        of,
                        n.metric,
                        *n.interval,
                        n.count,
                    ),
                    strict=False,
                )
            )
            | {"verdict": self.verdict}
            for of, numbers in parts.items()
            for n in numbers
        ]


def clopper_pearson(hits: int, count: int) -> Interval:
    """Return the share ``hits / count`` with its exact interval.

    Source: Clopper and Pearson, Biometrika 26(4), 1934.
    """
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    if not count:
        return Interval(math.nan, math.nan, math.nan)
    found = binomtest(hits, count).proportion_ci(LEVEL, method="exact")
    return Interval(hits / count, float(found.low), float(found.high))


def above(hits: int, count: int, chance: float, tries: int) -> bool:
    """Return whether so many hits are more than chance, by the exact binomial test.

    Its level is shared among the attacks that were tried, of which ``hits`` is the best.
    """
    from scipy.stats import binomtest

    return bool(binomtest(hits, count, chance, alternative="greater").pvalue < ERROR / tries)


def plain(metric: str, value: float, count: int) -> Number:
    """Return a number without an interval."""
    return Number(metric, Interval(value, math.nan, math.nan), count)
