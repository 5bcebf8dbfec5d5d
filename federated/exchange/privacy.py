"""What of a network is private: a composition of kinds and of names, decided for every tensor.

Kinds are ``norm-affine``, ``norm-statistics``, ``norm`` (both), ``heads`` and ``all``; a policy is
short for some of them. Names are of submodules or tensors of the network itself. Modules whose type
says that they stay at a site, such as adapters, are private under any policy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from federated.errors import UserError, did_you_mean
from federated.exchange.norms import (
    UNWATCHED,
    Names,
    Norms,
    Watched,
    norms_of,
    subtree,
    tensors_of,
    tied_to,
)

NORM = ("norm-affine", "norm-statistics")
KINDS = (*NORM, "norm", "heads", "all")

POLICIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "conv": ("norm",),  # FedBN, arXiv 2102.07623
        "silobn": ("norm-statistics",),  # arXiv 2008.07424
        "backbone": ("norm", "heads"),
        "all": (),
        "nothing": ("all",),
    }
)
"""The kinds of tensors that each policy keeps private."""


@dataclass(frozen=True)
class Rule:
    """What is to be private.

    Attributes:
        policy: A key of ``POLICIES``.
        private: Kinds and names beyond the policy's.
        shared: Names that are shared all the same.
        heads: Submodules that are heads.
    """

    policy: str
    private: Sequence[str] = ()
    shared: Sequence[str] = ()
    heads: Sequence[str] = ()

    @property
    def kinds(self) -> set[str]:
        """Kinds that are private, ``norm`` spelt out."""
        if self.policy not in POLICIES:
            raise UserError(f"sharing.policy = '{self.policy}' is unknown.")
        kinds = {*POLICIES[self.policy], *(kind for kind in self.private if kind in KINDS)}
        return kinds - {"norm"} | (set(NORM) if "norm" in kinds else set())


def private_names(model: nn.Module, rule: Rule, watched: Watched = UNWATCHED) -> Names:
    """Return names of the tensors of ``model`` that never leave a site.

    Whatever shares memory with a private tensor is private, too. A name in ``rule.shared`` goes
    before a kind; it cannot go before a name in ``rule.private``.

    Raises:
        UserError: a name is not in the network, is both private and shared, or what may be the
            scale of a normalisation of the user's own is neither.
    """
    tensors = tensors_of(model)
    norms = norms_of(model, watched)
    named = _inside(model, "private", rule.private)
    shared = _inside(model, "shared", rule.shared)
    if both := sorted(tied_to(tensors, named) & shared):
        raise UserError(f"{both[0]} is in sharing.private and in sharing.shared; name it in one.")
    if "norm-affine" in rule.kinds and "all" not in rule.kinds:
        _refuse_unjudged(model, norms, watched, named | shared)
    private = tied_to(tensors, (_of_kinds(model, rule, norms) - shared) | named)
    if tied := sorted(private & shared):
        raise UserError(
            f"sharing.shared names {tied[0]}, which shares its memory with a private tensor; name "
            "that one there, too."
        )
    return private


STAYS = "stays_at_site"
"""Class attribute that is true of a module whose tensors are a hospital's own under any policy."""


def _of_kinds(model: nn.Module, rule: Rule, norms: Norms) -> Names:
    kinds = rule.kinds
    if "all" in kinds:
        return frozenset(model.state_dict())
    names = own_tensors(model)
    names |= norms.affine if "norm-affine" in kinds else names
    names |= norms.statistics if "norm-statistics" in kinds else names
    return names | (head_tensors(model, rule.heads) if "heads" in kinds else names)


def own_tensors(model: nn.Module) -> Names:
    """Return names of all tensors inside modules whose type says that they stay (``STAYS``)."""
    modules = model.named_modules(remove_duplicate=False)
    paths = [path for path, module in modules if getattr(type(module), STAYS, False)]
    names = model.state_dict()
    return frozenset(n for n in names if n.startswith(tuple(f"{path}." for path in paths if path)))


def head_tensors(model: nn.Module, heads: Iterable[str]) -> Names:
    """Return names of all tensors inside the submodules called ``heads``.

    Raises:
        UserError: the network names no heads, or has no such submodule.
    """
    heads = tuple(heads)
    modules = dict(model.named_modules(remove_duplicate=False))
    if not heads:
        raise UserError(
            "heads are private here (sharing.policy = backbone, or sharing.private), and this "
            "network does not say which they are: set model.heads = NAME,NAME, or share them too: "
            "sharing.policy = conv."
        )
    for head in heads:
        if head not in modules:
            raise UserError(f"model.heads: the network has no submodule '{head}'.")
    return frozenset(n for n in model.state_dict() if n.startswith(tuple(f"{h}." for h in heads)))


def _inside(model: nn.Module, setting: str, entries: Iterable[str]) -> Names:
    """Return names of the tensors that ``entries`` name, each a tensor or a submodule.

    A submodule that is called like a kind, such as ``norm``, is meant, too.
    """
    state = model.state_dict()
    known = [*state, *(path for path, _ in model.named_modules(remove_duplicate=False) if path)]
    names: set[str] = set()
    for entry in entries:
        if entry not in known and (setting == "shared" or entry not in KINDS):
            kinds = f"neither one of {', '.join(KINDS)} nor" if setting == "private" else "not"
            raise UserError(
                f"sharing.{setting} = {entry}: that is {kinds} a submodule or tensor of the "
                f"network{did_you_mean(entry, [*KINDS, *known])}."
            )
        names |= {name for name in state if name == entry or name.startswith(f"{entry}.")}
    return frozenset(names)


def _refuse_unjudged(model: nn.Module, norms: Norms, watched: Watched, settled: Names) -> None:
    """Refuse a network whose own kind of normalisation may have a scale that would leave.

    Parameters beside a tensor that training images change, in a module of no type that is known,
    may be its scale and shift.
    """
    statistics = sorted(watched.by_data - settled)
    beside = {name for statistic in statistics for name in _beside(model, statistic)}
    suspects = ",".join(sorted(beside - norms.affine - norms.statistics - settled))
    if suspects:
        raise UserError(
            f"training images change {', '.join(statistics)} of the network, statistics of no "
            f"known kind of layer, and {suspects} may be their scale and shift: write "
            f"sharing.private = {suspects} to keep them at every site, or sharing.shared = "
            f"{suspects} to share them."
        )


def _beside(model: nn.Module, statistic: str) -> set[str]:
    """Return the parameters of the module that owns a tensor; below it, not those of layers."""
    path = statistic.rpartition(".")[0]
    owner = model.get_submodule(path)
    if not path:
        return {name for name, _ in owner.named_parameters(recurse=False)}
    inside = subtree(owner, f"{path}.", whole=False)
    return {name for name, tensor in inside if isinstance(tensor, nn.Parameter)}
