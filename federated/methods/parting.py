"""Together at first, alone at the end: what ``personalise.share`` does to a method of settings.

In its last rounds a hospital trains a network of its own, which begins as the federation's of the
last common round, with a learning rate of its own: ``personalise.restart`` times ``train.lr``,
decayed to 0 by a cosine over these rounds. What it shares stays as it was; so the rounds count on,
and every method of a run takes equally many steps.
"""

import copy
from dataclasses import replace

from federated.config.schema import Config
from federated.exchange.sharing import as_group, group
from federated.learning.optimizers import learning_rate
from federated.learning.terms import ModelContrast, Proximal
from federated.methods.seam import PERSONAL, Outcome, Rules, SiteRound, copied, kept_network


def site(round: SiteRound) -> Outcome:
    """Train the federation's model, or after the last common round the hospital's own."""
    together = round.config.rounds - rounds_alone(round.config)
    if round.number <= together:
        return Outcome(round.fit())
    own = copy.deepcopy(round.model)
    if round.kept:
        own.load_state_dict(group(round.kept, PERSONAL))
    # Neither a pull nor a contrast towards the federation's model, which stands still now.
    terms = [term for term in round.terms if not isinstance(term, Proximal | ModelContrast)]
    lr = lr_alone(round.config, round.number - together)
    trained = replace(round, lr=lr).fit(own, terms)
    return Outcome(trained, kept=as_group(copied(own.state_dict()), PERSONAL))


def rounds_alone(config: Config) -> int:
    """Return how many of the rounds, the last ones, every hospital trains by itself."""
    return min(config.rounds - 1, round(config.personalise.share * config.rounds))


def lr_alone(config: Config, number: int) -> float:
    """Return the learning rate of the round ``number``, 1-based, of those alone."""
    lr = config.personalise.restart * config.train.lr
    return learning_rate(
        replace(config.train, lr=lr, schedule="cosine"), number, rounds_alone(config)
    )


rules = Rules(site=site, personal=kept_network)
