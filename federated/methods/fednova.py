"""FedNova: sites that take more steps do not pull the mean towards them (Wang et al. 2020).

arXiv 2007.07481, equation 9 for plain SGD. With x the weights that arrived, y_i those trained in
tau_i steps and p_i the weight of a site in the mean:

    x <- x + (sum_i p_i tau_i) sum_i p_i (y_i - x) / tau_i

A site releases x + (y_i - x) / tau_i, and tau_i in the group ``steps``, from which the server knows
both sums. What no gradient trains, such as running statistics, is averaged as it is. With equally
many steps everywhere this is FedAvg.
"""

import numpy as np
import torch
from torch import nn

from federated.config.schema import Config
from federated.exchange.sharing import WEIGHTS, Boundary, State
from federated.methods.seam import Arrays, Outcome, Rules, ServerRound, SiteRound, copied

STEPS = "steps/tau"


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    """Return the number of steps, 0 at first, beside an empty tensor for each that is trained.

    The empty tensors tell the server's rule which weights are to be rescaled.
    """
    shared = set(boundary.shared_names)
    trained = [n for n, p in model.named_parameters() if n in shared and p.requires_grad]
    marks = {f"of/{name}": torch.zeros(0) for name in trained}
    return {"steps": {"tau": torch.zeros(1), **marks}}


def site(round: SiteRound) -> Outcome:
    """Train, then divide the change of the shared weights by the number of steps."""
    prefix = "steps/of/"
    names = {name.removeprefix(prefix) for name in round.sent if name.startswith(prefix)}
    weights = {name: p for name, p in round.model.named_parameters() if name in names}
    arrived = copied(weights)
    trained = round.fit()
    with torch.no_grad():
        for name, weight in weights.items():
            x = arrived[name].to(weight.device)
            weight.copy_(x + (weight - x) / trained.steps)
    released = {f"{prefix}{name}": torch.zeros(0) for name in names}
    return Outcome(trained, released={**released, STEPS: torch.tensor([float(trained.steps)])})


def server(round: ServerRound) -> Arrays:
    """Return the weights rescaled by the mean number of steps, and that number."""
    tau = float(np.asarray(round.mean[STEPS], np.float64)[0])
    marks = {name: round.before[name] for name in round.before if name.startswith("steps/of/")}
    renewed = {}
    for mark in marks:
        name = f"{WEIGHTS}/{mark.removeprefix('steps/of/')}"
        before = np.asarray(round.before[name], np.float64)
        renewed[name] = before + tau * (np.asarray(round.mean[name], np.float64) - before)
    return {**renewed, **marks, STEPS: np.array([tau])}


rules = Rules(site=site, groups=groups, server=server)
