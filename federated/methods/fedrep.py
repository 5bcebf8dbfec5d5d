"""FedRep: first the private head alone, then the shared body alone (Collins et al., ICML 2021).

arXiv 2102.07078, algorithm 1. In each round a site passes over its batches with the shared
parameters still, and then over the same batches with the private ones still, here as often as
before. So a round takes twice the steps, and says so.
"""

from dataclasses import replace

from torch import nn

from federated.exchange.sharing import group
from federated.learning.terms import Contrast
from federated.methods.seam import Outcome, Rules, SiteRound


def site(round: SiteRound) -> Outcome:
    """Train what is private, then what is shared."""
    own, shared = parted(round)
    # A memory is filled once, by the pass that trains what makes the embeddings.
    first = [term for term in round.terms if not isinstance(term, Contrast)]
    head = round.fit(terms=first, adjust=lambda: without_gradient(shared))
    body = round.fit(adjust=lambda: without_gradient(own))
    steps, examples = head.steps + body.steps, head.examples + body.examples
    return Outcome(replace(body, steps=steps, examples=examples))


def parted(round: SiteRound) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the parameters that stay at the site, and those that the server sent."""
    sent = group(round.sent, "weights")
    named = list(round.model.named_parameters())
    own = [parameter for name, parameter in named if name not in sent]
    return own, [parameter for name, parameter in named if name in sent]


def without_gradient(parameters: list[nn.Parameter]) -> None:
    """Take the gradients away, so that the optimiser leaves the parameters as they are."""
    for parameter in parameters:
        parameter.grad = None


rules = Rules(site=site, fits=2)
