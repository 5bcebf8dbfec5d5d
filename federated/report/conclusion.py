"""What a run was asked and what it answers, in three sentences: who gains, who does not, how sure.

The sentences are of the model that a hospital uses in the end; a gain is one whose whole interval
is above zero. Which method they are about was chosen on validation images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from federated.config.presets import ALONE
from federated.data.classes import Words, class_words
from federated.data.sources.labels import UNNAMED
from federated.report.evidence import span
from federated.report.standing import (
    USED,
    Standing,
    Standings,
    leading,
    of_models,
    standings,
)
from federated.runs.reading import Run
from federated.statistics.images import scored
from federated.statistics.interval import Interval
from federated.statistics.methods import BETTER, NOT_WORSE, UNDECIDED, WORSE

MOST_NAMED = 5

MODELS = {
    "kept": "the method's model of the round that keep.rule keeps, by default the last",
    "personalised": "kept, trained on by the hospital on its own images (personalise.epochs)",
    "own": "the model of method local at the same hospital and seed",
    "chosen": "which of own, kept and personalised the hospital's validation images chose",
    "final": "the chosen one: what the hospital uses in the end",
}
"""One legend for every table, figure and page."""

ONE_SEED = (
    "There is one seed, so the chance of training is in no interval; repeat it with seeds=0,1,2."
)
THRESHOLD = (
    "Sensitivity and specificity are at the threshold that each hospital's validation images chose "
    "(the greatest sum of both, Youden's), seed by seed; test images chose nothing"
)


@dataclass(frozen=True)
class Conclusion:
    """A question and its answer.

    Attributes:
        question: As a sentence.
        sentences: Who gains, who does not, how sure.
    """

    question: str
    sentences: Sequence[str]


def conclusion(run: Run) -> Conclusion:
    """Return what a run answers; of one that has not tested any model, that it has not."""
    found, words = standings(run, USED), class_words(run.study.common)
    if not found.areas:
        return Conclusion(_question(None, words), ["No model has been tested yet."])
    return concluded(found, leading([run], found), words)


def conclusion_of(runs: Sequence[Run]) -> Conclusion:
    """Return what several runs of one split of the data answer together.

    Raises:
        UserError: they have other test images, so that nothing can be compared.
    """
    found, words = of_models(scored(runs, USED), runs[0], USED), class_words(runs[0].study.common)
    if found is None:
        return Conclusion(_question(None, words), ["No model has been tested yet."])
    return concluded(found, leading(runs, found), words)


def concluded(found: Standings, method: str | None, words: Words = UNNAMED) -> Conclusion:
    """Return the three sentences about one method, the classes 0 and 1 called by ``words``."""
    if method is None:
        return Conclusion(_question(None, words), _about_one(found))
    rows = sorted(
        (s for s in found.against if s.method == method),
        key=lambda standing: -standing.difference.value,
    )
    return Conclusion(
        _question(found.reference, words),
        [_gaining(rows, found), _others(rows, found.reference), _how_sure(found, method)],
    )


def _question(reference: str | None, words: Words) -> str:
    if reference is None:
        return f"How well does the model tell {words[1]} from {words[0]} images at each hospital?"
    if reference == ALONE:
        return "Does each hospital gain by learning together, compared with learning alone?"
    return f"Does each hospital gain, compared with {reference}?"


def _gaining(rows: Sequence[Standing], found: Standings) -> str:
    gaining = [row for row in rows if row.verdict == BETTER]
    method = rows[0].method
    over = "training alone" if found.reference == ALONE else str(found.reference)
    if not gaining:
        return f"With {method}, no hospital of {len(rows)} is sure to gain AUC over {over}."
    count = "the one hospital gains" if len(rows) == 1 else f"{len(gaining)} of {len(rows)} gain"
    return f"With {method}, {count} AUC over {over}: {_named(gaining)}."


def _others(rows: Sequence[Standing], reference: str | None) -> str:
    """Return who does not gain: who loses, who is not worse, and of whom it cannot be said."""
    parts = []
    for told, words in (
        (WORSE, "worse off"),
        (UNDECIDED, "undecided"),
        (NOT_WORSE, "not worse by more than the margin, though not sure to gain"),
    ):
        here = [row for row in rows if row.verdict == told and not row.is_same]
        parts += [f"{words}: {_named(here)}"] if here else []
    same = [row.site for row in rows if row.is_same]
    whose = "that it trained alone" if reference == ALONE else f"of {reference}"
    parts += [f"in the end with the model {whose}: {_listed(same)}"] if same else []
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else "No hospital is left behind."


def _how_sure(found: Standings, method: str) -> str:
    mean = found.means[method]
    sizes = sorted(found.images.values())
    images = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
    drawn = "patients and seeds" if found.is_over_images else "seeds alone"
    seeds = f"{found.seeds} seed{'s' if found.seeds > 1 else ''}"
    return (
        f"Mean over the {len(sizes)} hospitals {signed(mean)}; brackets hold 95 % over {drawn} "
        f"({images} test images a hospital, {seeds})." + (f" {ONE_SEED}" if found.seeds < 2 else "")
    )


def _about_one(found: Standings) -> list[str]:
    """Return the sentences of a run with nothing to compare."""
    areas = sorted(found.areas.items(), key=lambda item: -item[1].value)
    (best, _), highest = areas[0]
    (worst, _), lowest = areas[-1]
    told = f"AUC is highest at {best}, {plain(highest)}, and lowest at {worst}, {plain(lowest)}."
    return [
        told if len(areas) > 1 else f"AUC at {best} is {plain(highest)}.",
        "Whether a hospital gains cannot be said: there is one method, and nothing to compare it "
        "with (methods=local,… trains each hospital alone, too).",
        f"Brackets hold 95 % over {'patients and seeds' if found.is_over_images else 'seeds'} "
        f"({found.seeds} seed{'s' if found.seeds > 1 else ''})."
        + (f" {ONE_SEED}" if found.seeds < 2 else ""),
    ]


def _named(rows: Sequence[Standing]) -> str:
    """Return hospitals with their differences, of many the first."""
    return _listed([f"{row.site} {signed(row.difference)}" for row in rows])


def _listed(texts: Sequence[str]) -> str:
    left = len(texts) - MOST_NAMED
    return ", ".join([*texts[:MOST_NAMED], *([f"and {left} more"] if left > 0 else [])])


def signed(interval: Interval) -> str:
    """Return a difference with its interval: ``+0.031 [+0.004, +0.060]``."""
    return f"{interval.value:+.3f}{_brackets(interval, '{:+.3f}')}"


def plain(interval: Interval) -> str:
    """Return a number with its interval: ``0.912 [0.880, 0.941]``."""
    return f"{interval.value:.3f}{_brackets(interval, '{:.3f}')}"


def _brackets(interval: Interval, form: str) -> str:
    return span(interval.low, interval.high, form) or " [interval unknown]"
