"""How much an audit tries: few images, candidates and models, or more of each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts of an audit; all are told on its page.

    Attributes:
        updates: Updates of each kind that are attacked.
        candidates: Images that the attacker chooses among, the true ones included.
        search: Steps of the search for images that explain an update.
        members: Most training images, and most others, that membership is guessed of.
        shadows: Models that the attacker trains for the likelihood ratio; even.
        shadow_steps: Steps that each of them trains.
        overfitted: Images that the overfitted control is trained on.
        overfitting: Steps that it trains.
        prevalences: Updates that the attacker learns a site's prevalence from, and as many to test.
        round_steps: Most local steps of an update that stands for a round of the run.
    """

    updates: int
    candidates: int
    search: int
    members: int
    shadows: int
    shadow_steps: int
    overfitted: int
    overfitting: int
    prevalences: int
    round_steps: int


FULL = Sizes(
    updates=16,
    candidates=64,
    search=400,
    members=2000,
    shadows=16,
    shadow_steps=200,
    overfitted=64,
    overfitting=400,
    prevalences=30,
    round_steps=40,
)
QUICK = Sizes(
    updates=8,
    candidates=32,
    search=80,
    members=200,
    shadows=4,
    shadow_steps=40,
    overfitted=32,
    overfitting=150,
    prevalences=12,
    round_steps=15,
)
