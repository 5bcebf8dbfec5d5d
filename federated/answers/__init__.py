"""What one run of a rollout answers, a file an answer: numbers, text, figure, words.

    from federated.answers import benefit, cost, disturbances, joining, waiting
    run = federated.results.load("runs/rollout")
    benefit.numbers(run)       # how soon each hospital's AUC is good enough, together and alone
    waiting.figure(run)        # who computes, who waits, and who keeps everyone waiting
    cost.numbers(run)          # megabytes, hours, money and energy against the AUC gained
    joining.numbers(run)       # what a newcomer gets, and how the others fared while it joined
    disturbances.numbers(run)  # AUC before and after outages, garbage, new scanners and leaves

Hours and weeks are virtual, since week 0. NaN: it never happened, or is not defined.

An answer is declared here, by the name of its file, and nowhere else: the commands, the page and
the gallery read this. Nothing heavy is imported until an answer is.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated.answers.answer import Answer

MEANINGS = {
    "benefit": "when each hospital reached its target AUC, in rounds or weeks, and how much sooner "
    "than alone",
    "waiting": "hours that each hospital computed, transferred, waited, and held everyone up",
    "cost": "megabytes, hours, money and energy of each hospital against the AUC that it gained",
    "joining": "what each newcomer gained, and how the others moved when it came",
    "disturbances": "AUC before and after each outage, garbage, new scanner and departure",
}
"""Name of an answer, which is that of its file -> what it tells."""


def answer_named(name: str) -> "Answer":
    """Return an answer by its name."""
    declared: Answer = import_module(f"{__name__}.{name}").ANSWER
    return declared


def answers() -> Iterator["Answer"]:
    """Yield every answer, in the order of the page."""
    return map(answer_named, MEANINGS)
