"""MS-Net's auxiliary branches: a head of the hospital's own teaches the one that all share.

Liu et al., IEEE TMI 2020, arXiv 2002.03366, which segments; here for classes, so that its Dice
losses become cross-entropy. Batch norm is the hospital's own. Beside the shared classifier stands
an auxiliary one of the same form, on the same features, which only this hospital trains:

    loss = CE(classifier, labels) + CE(auxiliary, labels) + CE(classifier, argmax of auxiliary)

The last term carries what the hospital has learnt into what is shared; no gradient of it reaches
the auxiliary branch. Evaluation uses the shared classifier, as there. The auxiliary branch begins
as a copy of the classifier, lives in the vault and never leaves. The paper trains all sites in one
process; this is its federated form.
"""

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.errors import UserError
from federated.learning.compute import Compute, autocast
from federated.learning.network import heads_of
from federated.learning.terms import Step
from federated.methods.seam import Outcome, Rules, SiteRound, copied

NAMES = ("auxiliary", "transfer")


@dataclass
class Branch:
    """An auxiliary head on the features that the shared one was last given.

    Attributes:
        head: The auxiliary one.
        compute: Device and precision.
        logits: Of these features, float32 (B, K).
    """

    head: nn.Module
    compute: Compute
    logits: Tensor = field(default_factory=lambda: torch.empty(0))

    def look(self, shared: nn.Module, given: tuple[Any, ...]) -> None:
        """Say of what the shared head is given what the auxiliary one makes of it."""
        with autocast(self.compute.device, bf16=self.compute.bf16):
            self.logits = self.head(given[0]).flatten(1).float()


@dataclass(frozen=True)
class Auxiliary:
    """Cross-entropy of the auxiliary branch."""

    branch: Branch
    weight: float
    name: str = NAMES[0]

    def __call__(self, step: Step) -> Tensor:
        """Return the mean over the batch."""
        return F.cross_entropy(self.branch.logits, step.labels)


@dataclass(frozen=True)
class Transfer:
    """Cross-entropy of the shared classifier with the class that the auxiliary branch would say."""

    branch: Branch
    weight: float
    name: str = NAMES[1]

    def __call__(self, step: Step) -> Tensor:
        """Return the mean over the batch."""
        return F.cross_entropy(step.logits, self.branch.logits.argmax(dim=1))


def site(round: SiteRound, *, auxiliary: float, transfer: float) -> Outcome:
    """Train the network and its auxiliary branch together, each with an optimiser of its own."""
    shared = classifier_of(round)
    head = copy.deepcopy(shared)
    if round.kept:
        head.load_state_dict(dict(round.kept))
    branch = Branch(head.train(), round.compute)
    terms = [*round.terms, Auxiliary(branch, auxiliary), Transfer(branch, transfer)]
    handle = shared.register_forward_pre_hook(branch.look)
    try:
        trained = round.fit(terms=terms, adjust=round.stepping(list(head.parameters())))
    finally:
        handle.remove()
    return Outcome(trained, kept=copied(head.state_dict()))


def classifier_of(round: SiteRound) -> nn.Module:
    """Return the network's first head.

    Raises:
        UserError: it does not say which that is.
    """
    heads = heads_of(round.config, round.model)
    if not heads:
        raise UserError(
            "the auxiliary branch of ms-net is like the network's classifier, and this network "
            "does not say which that is: set model.heads = NAME."
        )
    return round.model.get_submodule(heads[0])


def rules_with(auxiliary: float = 1.0, transfer: float = 1.0) -> Rules:
    """Return the rules with other weights of the two terms."""
    return Rules(site=partial(site, auxiliary=auxiliary, transfer=transfer), terms=NAMES)


rules = rules_with()
