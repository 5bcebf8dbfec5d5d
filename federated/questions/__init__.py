"""Questions to a configuration that several runs answer, a file a question.

A question is declared here, by its name, and nowhere else; ``ask`` in its file runs what it takes,
each in a folder of its own, once. Nothing heavy is imported until a question is asked.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated.questions.finding import Finding

MEANINGS = {
    "contribution": "what each hospital gains and what the others gain from it, by runs without it",
    "order": "which order of going live is best: the same weeks, dealt anew",
    "unseen": "what each hospital gets of a federation made without it, by the batch norm it is "
    "given",
    "what-if": "what changes for each hospital if some settings were others, by runs with and "
    "without",
}
"""Name of a question, which is that of its file with ``_`` for ``-`` -> what it asks."""


def question_named(name: str) -> "Callable[..., Finding]":
    """Return what asks a question: it takes a configuration, a folder, and options of its own."""
    asking: Callable[..., Finding] = import_module(f"{__name__}.{name.replace('-', '_')}").ask
    return asking
