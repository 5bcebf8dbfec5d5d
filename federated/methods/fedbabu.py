"""FedBABU: the body learns under heads that never move (Oh, Kim and Yun, ICLR 2022).

arXiv 2106.06042. Every site's head is the first one, the same for all, so that it need not travel;
only what is shared is trained. ``personalise.epochs`` afterwards trains the whole network at each
site, which is the paper's fine-tuning.
"""

from federated.methods.fedrep import parted, without_gradient
from federated.methods.seam import Outcome, Rules, SiteRound


def site(round: SiteRound) -> Outcome:
    """Train what is shared; what is private stays as it began."""
    own, _ = parted(round)
    return Outcome(round.fit(adjust=lambda: without_gradient(own)))


rules = Rules(site=site)
