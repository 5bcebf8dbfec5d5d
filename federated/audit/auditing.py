"""All attacks on a hospital of a finished run, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from federated.audit.attacked import attacked_updates, candidates_of
from federated.audit.finding import Case
from federated.audit.inverting import NAME as INVERT
from federated.audit.inverting import inverting
from federated.audit.membership import NAME as MEMBERSHIP
from federated.audit.membership import membership, pool_of
from federated.audit.prevalence import NAME as PREVALENCE
from federated.audit.prevalence import prevalence
from federated.audit.rebuilding import NAME as REBUILD
from federated.audit.rebuilding import rebuilt
from federated.audit.recognition import NAME as RECOGNISE
from federated.audit.recognition import recognised
from federated.audit.remembering import NAME as MEMORY
from federated.audit.remembering import remembering
from federated.audit.sizes import Sizes
from federated.audit.subject import Subject
from federated.seeding import global_torch_seed, seed_for


@dataclass(frozen=True)
class Audit:
    """What all attacks on a hospital found.

    Attributes:
        subject: Who was attacked.
        sizes: How much was tried.
        cases: Each attack in each setting.
        pictures: Originals (N, S, S) and what the control's search rebuilt of them.
    """

    subject: Subject
    sizes: Sizes
    cases: Sequence[Case]
    pictures: tuple[Tensor, Tensor] | None


def audited(
    subject: Subject, sizes: Sizes, report: Callable[[str], None] = lambda text: None
) -> Audit:
    """Return what the attacks found; the same subject and sizes give the same numbers.

    Args:
        subject: Who is attacked.
        sizes: How much is tried.
        report: Called with a sentence as each attack begins.
    """
    cases: list[Case] = []
    pictures = None
    with global_torch_seed(seed_for(subject.seed, subject.site, 0, "audit")):
        for what, attack in _attacks(subject, sizes):
            report(what)
            for found in attack:
                if isinstance(found, Case):
                    cases.append(found)
                else:
                    pictures = found
    return Audit(subject, sizes, cases, pictures)


def _attacks(
    subject: Subject, sizes: Sizes
) -> Iterator[tuple[str, Iterator[Case | tuple[Tensor, Tensor]]]]:
    images, pool = candidates_of(subject, sizes), pool_of(subject, sizes)
    control, *kinds = attacked_updates(subject, images, sizes)
    yield RECOGNISE, recognised(subject, images, control, kinds)
    yield REBUILD, rebuilt(subject, images, control, kinds[:-1], sizes)
    yield MEMBERSHIP, membership(subject, pool, sizes)
    yield PREVALENCE, prevalence(subject, sizes)
    yield MEMORY, remembering(subject, pool, sizes)
    yield INVERT, inverting(subject, sizes)
