"""Which model is kept of the rounds that were evaluated, by what validation said of them so far."""

import math
from collections.abc import Sequence

WINDOW = 5
"""Evaluations in a row whose mean score decides under ``smoothed``."""


def judged(rule: str, scores: Sequence[float | None]) -> float | None:
    """Return by what the newest model is compared with the one kept so far; None: by nothing.

    Under ``smoothed`` it is the mean of the newest five scores, of which the newest model is the
    last: so a model is kept or not when it is there, and no other has to be stored meanwhile.
    Before there are five nothing is smooth, and the newest model is kept. Scores that are not
    finite are left out of the mean; a model with such a one is not kept anyway.

    Args:
        rule: ``last``, ``best`` or ``smoothed``, as ``keep.rule``.
        scores: Of the evaluations so far, the newest last, at least the newest five of them; the
            higher the better, minus infinity for predictions that are not finite, None where there
            was nothing to score.
    """
    newest = scores[-1]
    if newest is None or newest == -math.inf or rule == "best":
        return newest
    if rule == "last" or len(scores) < WINDOW:
        return None
    window = [score for score in scores[-WINDOW:] if score is not None and score > -math.inf]
    return sum(window) / len(window)


def is_kept(newest: float | None, kept: float | None) -> bool:
    """Return whether the newest model takes the place of the one kept so far.

    One whose predictions are not finite takes nobody's.

    Args:
        newest: What it is ``judged`` by.
        kept: What the other one was judged by.
    """
    if newest is None or kept is None:
        return newest != -math.inf
    return newest > kept
