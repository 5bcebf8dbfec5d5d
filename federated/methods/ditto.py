"""Ditto: a personal model beside the federation's, pulled towards it (Li et al., ICML 2021).

arXiv 2012.04221, algorithm 1. In each round a site trains the server's model as FedAvg does, and
then its personal model v on the same batches, by cross-entropy + lambda/2 ||v - w||^2 with w the
weights that arrived. lambda is ``train.proximal-mu``; the server's model is not pulled. The
personal model is what the site evaluates, keeps and uses; it never leaves.
"""

import copy

from federated.exchange.sharing import as_group, group
from federated.learning.terms import Proximal
from federated.methods.seam import PERSONAL, Outcome, Rules, SiteRound, copied, kept_network


def site(round: SiteRound) -> Outcome:
    """Train the server's model, then the personal one; report on the personal one."""
    arrived = copied(dict(round.model.named_parameters()))
    personal = copy.deepcopy(round.model)
    if round.kept:
        personal.load_state_dict(group(round.kept, PERSONAL))
    unpulled = [term for term in round.terms if not isinstance(term, Proximal)]
    round.fit(terms=unpulled)
    pull = round.config.train.proximal_mu
    terms = [term for term in unpulled if term.name == "cross_entropy"]
    if pull:
        parameters = dict(personal.named_parameters())
        reference = [arrived[name].to(p.device) for name, p in parameters.items()]
        terms.append(Proximal(pull, parameters.values(), reference))
    trained = round.fit(personal, terms)
    return Outcome(trained, kept=as_group(copied(personal.state_dict()), PERSONAL))


rules = Rules(site=site, personal=kept_network, fits=2)
