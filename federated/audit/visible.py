"""What of an update an attacker sees, and the best of his attacks over all parts of that."""

from collections.abc import Iterable, Mapping
from itertools import combinations

from federated.audit.finding import AS_IS
from federated.audit.subject import Subject
from federated.unseen.models import State

KINDS = ("weights", "parameters", "statistics")
"""Of tensors: the shared weights, the parameters of batch norm, its statistics."""
Kinds = frozenset[str]

WORDS = {
    "weights": "the change of the shared weights",
    "parameters": "that of batch norm's parameters",
    "statistics": "batch norm's statistics",
}


def in_words(kinds: Iterable[str]) -> str:
    """Return what is seen as words."""
    return ", ".join(WORDS[kind] for kind in KINDS if kind in set(kinds))


def parts_of(kinds: Iterable[str]) -> list[Kinds]:
    """Return all parts of what is seen but nothing, from the smallest."""
    there = [kind for kind in KINDS if kind in set(kinds)]
    return [frozenset(c) for n in range(1, len(there) + 1) for c in combinations(there, n)]


def best(scores: Mapping[Kinds, float], kinds: Kinds) -> float:
    """Return the best score of an attacker who may use any part of what he sees.

    So whoever sees more is never the weaker for it; that is asserted by ``never_weaker``.
    """
    return max(scores[part] for part in parts_of(kinds) if part in scores)


def never_weaker(scores: Mapping[Kinds, float]) -> bool:
    """Return whether of every two attackers the one who sees more gets no less."""
    each = {part: best(scores, part) for part in scores}
    return all(each[a] <= each[b] for a in each for b in each if a <= b)


def check_never_weaker(scores: Mapping[Kinds, float]) -> None:
    """Stop where more information made an attack weaker, which would be a fault of the audit.

    Raises:
        AssertionError: it did.
    """
    if not never_weaker(scores):
        raise AssertionError(f"more information made an attack weaker: {scores}")


def names_of(subject: Subject, kinds: Kinds) -> set[str]:
    """Return the names of the parameters that are seen."""
    return {n for kind in kinds - {"statistics"} for n in subject.kinds[kind]}


def variants(subject: Subject) -> dict[str, Kinds]:
    """Return what is seen by name: what the method shares, and what else it might share."""
    there = frozenset(kind for kind, names in subject.kinds.items() if names)
    known = {AS_IS: frozenset(subject.visible)}
    for name, kinds in (
        ("if the weights alone were shared (FedBN)", {"weights"}),
        ("if batch norm's parameters were shared, too (SiloBN)", {"weights", "parameters"}),
        ("if all of batch norm were shared (FedAvg)", set(KINDS)),
    ):
        if frozenset(kinds) <= there and frozenset(kinds) not in known.values():
            known[name] = frozenset(kinds)
    return known


def held(subject: Subject, kinds: Kinds) -> State:
    """Return the model as an attacker holds it: what he does not see is another hospital's."""
    seen = {n for kind in kinds for n in subject.kinds[kind]}
    return {**subject.stranger, **{n: t for n, t in subject.last.items() if n in seen}}
