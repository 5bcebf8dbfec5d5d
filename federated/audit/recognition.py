"""Which images was an update made of? Chosen among candidates.

The attacker has N images, of which the update was made of some, computes what each would give away,
and picks the likest; the best attack over all parts of what he sees counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federated.audit.attacked import Attacked, Candidates
from federated.audit.finding import Case, Number, above, clopper_pearson, plain
from federated.audit.matching import apart, given_away
from federated.audit.subject import Subject
from federated.audit.visible import (
    Kinds,
    best,
    check_never_weaker,
    held,
    in_words,
    names_of,
    parts_of,
    variants,
)

NAME = "Which of the candidates was in the update?"
LANES = 4
"""Candidates whose gradients are held at once."""
GRADIENTS = ("weights", "parameters")
"""Kinds of tensors that have a gradient."""


def recognised(
    subject: Subject, images: Candidates, control: Attacked, kinds: Sequence[Attacked]
) -> Iterator[Case]:
    """Yield the cases in which the attacker chooses among candidates."""
    seen_by = variants(subject)
    everything = frozenset[str]().union(*seen_by.values())
    hits = picked(subject, images, kinds, parts_of(everything))
    count = len(images.labels)
    controlled, control_works = _judged(control, _known(subject, images, control), count, 1)
    # Each part with norms as they are, and by the batch. The same number for whoever sees less:
    # else more information could make a verdict milder.
    tries = 2 * len(parts_of(everything))
    for kind, found in zip(kinds, hits, strict=True):
        check_never_weaker(found)
        for name, seen in seen_by.items():
            got, works = _judged(kind, best(found, seen), count, tries)
            yield Case(
                NAME,
                kind.setting,
                name,
                f"{in_words(seen)}; {count} candidates and their classes",
                (got,),
                (controlled,),
                (plain("chance", kind.sets.shape[1] / count, kind.sets.numel()),),
                succeeded=works,
                control_succeeded=control_works,
            )


def _known(subject: Subject, images: Candidates, control: Attacked) -> float:
    """Return how many images of the control are picked, with all of the network known."""
    network = subject.network(subject.last)
    [found] = compared(subject, images, [control], network, by_batch=False)
    return rightly(found.scores(frozenset(GRADIENTS)), control.sets)


def _judged(kind: Attacked, hits: float, candidates: int, tries: int) -> tuple[Number, bool]:
    count, chance = kind.sets.numel(), kind.sets.shape[1] / candidates
    number = Number("share of images identified", clopper_pearson(int(hits), count), count)
    return number, above(int(hits), count, chance, tries)


def picked(
    subject: Subject, images: Candidates, kinds: Sequence[Attacked], parts: Sequence[Kinds]
) -> list[dict[Kinds, float]]:
    """Return, of each kind of updates and part of what is seen, how many images are picked rightly.

    It is the better of two attacks: each candidate's gradient is made with norms as the attacker
    holds them, and with those of a batch of that candidate twice.
    """
    hits: list[dict[Kinds, float]] = [{} for _ in kinds]
    for norms in dict.fromkeys(part - {"weights"} for part in parts):
        network = subject.network(held(subject, norms))
        for by_batch in (False, True):
            found = compared(subject, images, kinds, network, by_batch=by_batch)
            for kind, one, table in zip(kinds, found, hits, strict=True):
                for part in _with(norms, parts, one):
                    table[part] = max(table.get(part, 0), rightly(one.scores(part), kind.sets))
    return hits


def _with(norms: Kinds, parts: Sequence[Kinds], found: "Compared") -> list[Kinds]:
    """Return the parts that hold just these tensors of norms, and that the updates have."""
    lacking = {"statistics"} if found.distances is None else set()
    return [part for part in parts if part - {"weights"} == norms and not part & lacking]


def rightly(scores: Tensor, sets: Tensor) -> int:
    """Return how many of the images of each update (K, B) are among its B highest of (K, N)."""
    top = scores.topk(sets.shape[1], dim=1).indices
    return sum(int(torch.isin(a, b).sum()) for a, b in zip(top, sets, strict=True))


@dataclass(frozen=True)
class Compared:
    """What N candidates would give away beside what K updates do.

    Attributes:
        dots: Inner products (K, N) of the gradients, by kind of tensors.
        ours: Squared norms (N,) of the candidates', by kind.
        theirs: Squared norms (K,) of the updates', by kind.
        distances: (K, N) of the statistics; None if there are none.
    """

    dots: Mapping[str, Tensor]
    ours: Mapping[str, Tensor]
    theirs: Mapping[str, Tensor]
    distances: Tensor | None

    def scores(self, part: Kinds) -> Tensor:
        """Return how well each candidate explains each update by a part of what is seen, (K, N).

        Cosine and distance are added in deviations over the candidates.
        """
        scores = torch.zeros(1)
        if some := [kind for kind in GRADIENTS if kind in part and kind in self.dots]:
            dot, ours, theirs = (
                torch.stack([table[kind] for kind in some]).sum(0)
                for table in (self.dots, self.ours, self.theirs)
            )
            scores = scores + _spread(dot / (theirs[:, None] * ours).clamp(min=1e-30).sqrt())
        if "statistics" in part and self.distances is not None:
            scores = scores - _spread(self.distances)
        return scores


def _spread(values: Tensor) -> Tensor:
    away = values - values.mean(dim=1, keepdim=True)
    return away / values.std(dim=1, keepdim=True).clamp(min=1e-12)


def compared(
    subject: Subject,
    images: Candidates,
    kinds: Sequence[Attacked],
    network: nn.Module,
    *,
    by_batch: bool,
) -> list[Compared]:
    """Return what each candidate would give away beside each kind of updates.

    Args:
        subject: The hospital.
        images: The candidates.
        kinds: The updates.
        network: As the attacker holds it.
        by_batch: Whether its norms use a batch of the candidate twice.
    """
    names = {kind: sorted(names_of(subject, frozenset({kind}))) for kind in GRADIENTS}
    names = {kind: some for kind, some in names.items() if some}
    give = given_away(network, [n for some in names.values() for n in some], by_batch=by_batch)
    theirs = [
        {k: torch.stack([_flat(u.change, n) for u in kind.updates]) for k, n in names.items()}
        for kind in kinds
    ]
    ours: dict[str, list[Tensor]] = {kind: [] for kind in names}
    dots: list[dict[str, list[Tensor]]] = [{kind: [] for kind in names} for _ in kinds]
    distances: list[list[Tensor]] = [[] for _ in kinds]
    repeat = 2 if by_batch else 1
    for begin in range(0, len(images.labels), LANES):
        x = images.inputs[begin : begin + LANES, None].expand(-1, repeat, -1, -1, -1)
        labels = images.labels[begin : begin + LANES, None].expand(-1, repeat)
        gradients, statistics = give(x, labels)
        for k, some in names.items():
            flat = torch.cat([gradients[n].flatten(1) for n in some], dim=1)
            ours[k].append(flat.square().sum(1))
            for table, each in zip(dots, theirs, strict=True):
                table[k].append(each[k] @ flat.T)
        for rows, kind in zip(distances, kinds, strict=True):
            if kind.updates[0].statistics:
                rows.append(torch.stack([apart(statistics, u.statistics) for u in kind.updates]))
    return [
        Compared(
            {k: torch.cat(parts, dim=1) for k, parts in table.items()},
            {k: torch.cat(parts) for k, parts in ours.items()},
            {k: rows.square().sum(1) for k, rows in each.items()},
            torch.cat(rows, dim=1) if rows else None,
        )
        for table, each, rows in zip(dots, theirs, distances, strict=True)
    ]


def _flat(change: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    return torch.cat([change[n].flatten() for n in names])
