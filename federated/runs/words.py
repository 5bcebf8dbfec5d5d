"""The words by which a run is asked for its numbers, and a sentence for one that it lacks."""

from collections.abc import Sequence

from federated.data.site import SPLITS
from federated.errors import UserError, did_you_mean, shown
from federated.exchange.candidates import CANDIDATES

MODELS = ("current", *CANDIDATES, "final")
"""What ``model`` may be."""


def check_words(split: str, model: str) -> None:
    """Raise a UserError for a split or a model that no run has."""
    check_word("split", split, SPLITS)
    check_word("model", model, MODELS)


def check_word(what: str, word: object, known: Sequence[object]) -> None:
    """Raise a UserError for a word that is none of those known."""
    if word not in known:
        words = [str(one) for one in known]
        raise UserError(
            f"there is no {what} {shown(word)}{did_you_mean(str(word), words)}; there are "
            f"{', '.join(words)}."
        )
