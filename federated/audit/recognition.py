"""Which images was an update made of? Chosen among candidates.

The attacker has N images, of which the update was made of some, computes what each would give away,
and picks the likest; the best attack over all parts of what he sees counts.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

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


def recognised(
    subject: Subject, images: Candidates, control: Attacked, kinds: Sequence[Attacked]
) -> Iterator[Case]:
    """Yield the cases in which the attacker chooses among candidates."""
    everything = variants(subject).popitem()[1]
    known = picked(subject, images, control, [everything & {"weights", "parameters"}])
    controlled, control_works = _judged(control, max(known.values()), len(images.labels), 1)
    for kind in kinds:
        hits = picked(subject, images, kind, parts_of(everything))
        check_never_weaker(hits)
        for name, seen in variants(subject).items():
            tries = 2 * len(parts_of(seen))
            got, works = _judged(kind, best(hits, seen), len(images.labels), tries)
            yield Case(
                NAME,
                f"{kind.setting}; {name}",
                f"{in_words(seen)}; {len(images.labels)} candidates and their classes",
                (got,),
                (controlled,),
                (plain("chance", kind.sets.shape[1] / len(images.labels), kind.sets.numel()),),
                succeeded=works,
                control_succeeded=control_works,
            )


def _judged(kind: Attacked, hits: float, candidates: int, tries: int) -> tuple[Number, bool]:
    count, chance = kind.sets.numel(), kind.sets.shape[1] / candidates
    number = Number("share of images identified", clopper_pearson(int(hits), count), count)
    return number, above(int(hits), count, chance, tries)


def picked(
    subject: Subject, images: Candidates, kind: Attacked, parts: Sequence[Kinds]
) -> dict[Kinds, float]:
    """Return, for each part of what is seen, how many images the better of two attacks picks.

    Each candidate's gradient is made with norms as the attacker holds them, and with those of a
    batch of that candidate twice.
    """
    hits: dict[Kinds, float] = {}
    for part in parts:
        network = subject.network(held(subject, part))
        for by_batch in (False, True) if kind.by_batch else (False,):
            scores = _scores(subject, images, kind, part, network, by_batch)
            top = scores.topk(kind.sets.shape[1], dim=1).indices
            found = sum(int(torch.isin(a, b).sum()) for a, b in zip(top, kind.sets, strict=True))
            hits[part] = max(hits.get(part, 0), found)
    return hits


def _scores(
    subject: Subject,
    images: Candidates,
    kind: Attacked,
    part: Kinds,
    network: torch.nn.Module,
    by_batch: bool,
) -> Tensor:
    """Return how well each candidate explains each update, (K, N)."""
    names = [n for n in kind.updates[0].change if n in names_of(subject, part)]
    seen = _unit({n: torch.stack([u.change[n] for u in kind.updates]) for n in names})
    give = given_away(network, names, by_batch=by_batch)
    repeat = 2 if by_batch else 1
    cosines, distances = [], []
    for some in torch.arange(len(images.labels)).split(LANES):
        x = images.inputs[some][:, None].expand(-1, repeat, -1, -1, -1)
        gradients, statistics = give(x, images.labels[some][:, None].expand(-1, repeat))
        if names:
            cosines.append(seen @ _unit(gradients).T)
        if "statistics" in part:
            one = [[(m[k], v[k]) for m, v in statistics] for k in range(len(some))]
            rows = [[apart(found, u.statistics) for found in one] for u in kind.updates]
            distances.append(torch.stack([torch.stack(row) for row in rows]))
    scores = torch.zeros(len(kind.updates), len(images.labels))
    for parts, sign in ((cosines, 1), (distances, -1)):
        if parts:
            each = torch.cat(parts, dim=1)
            spread = each.std(dim=1, keepdim=True).clamp(min=1e-12)
            scores = scores + sign * (each - each.mean(dim=1, keepdim=True)) / spread
    return scores


def _unit(tensors: dict[str, Tensor]) -> Tensor:
    if not tensors:
        return torch.zeros(0, 0)
    return F.normalize(torch.cat([t.flatten(1) for t in tensors.values()], dim=1), dim=1)
