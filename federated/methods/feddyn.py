"""FedDyn: a regulariser that moves, so that hospitals agree where the sum of their losses is least.

Acar et al., ICLR 2021, arXiv 2111.04263, algorithm 1. With w the weights that arrived, g_i the
gradient that site i keeps (zeros at first), and alpha, which is ``train.proximal-mu``:

    each site minimises  L_i(y) - <g_i, y> + alpha/2 ||y - w||^2
    afterwards:          g_i <- g_i - alpha (y_i - w)
    at the server:       h <- h - alpha share (mean of y_i - w)
                         w <- mean of y_i - h / alpha

At a fixed point every g_i is the gradient of L_i at w, and they sum to 0: so w is a stationary
point of the sum, where FedAvg's fixed point is none. Sites release their weights and nothing more;
g_i lives in the vault, h at the server. The mean weighs by images unless ``server.weighting`` is
uniform, as the paper's is, so h stays the weighted mean of the g_i. With alpha = 0 there is neither
g nor h, and this is FedAvg. What no gradient trains, such as running statistics, takes the mean.
"""

import numpy as np
import numpy.typing as npt

from federated.exchange.sharing import WEIGHTS, group
from federated.methods.seam import MEMORY, Arrays, Outcome, Rules, ServerRound, SiteRound, copied


def site(round: SiteRound) -> Outcome:
    """Train on the tilted loss, whose quadratic pull is among the terms; then renew the tilt."""
    alpha, sent = round.config.train.proximal_mu, group(round.sent, WEIGHTS)
    weights = {n: p for n, p in round.model.named_parameters() if n in sent and p.requires_grad}
    arrived = copied(weights)
    g = dict(round.kept) or {name: tensor * 0 for name, tensor in arrived.items()}
    tilt = {name: g[name].to(p.device) for name, p in weights.items()}

    def adjust() -> None:
        for name, parameter in weights.items():
            if parameter.grad is not None:
                parameter.grad -= tilt[name]

    trained = round.fit(adjust=adjust)
    renewed = {name: g[name] - alpha * (y - arrived[name]) for name, y in copied(weights).items()}
    return Outcome(trained, kept=renewed)


def server(round: ServerRound) -> Arrays:
    """Return the weights w, and -h / alpha of each: the sum of all mean updates by their shares."""
    if not round.config.train.proximal_mu:
        return {}
    made: dict[str, npt.NDArray[np.float64]] = {}
    for name in round.trained_weights():
        mean = np.asarray(round.mean[name], np.float64)
        moved = mean - np.asarray(round.before[name], np.float64)
        before = np.asarray(round.memory.get(f"{MEMORY}/{name}", 0.0), np.float64)
        total = before + round.share * moved
        made |= {name: mean + total, f"{MEMORY}/{name}": total}
    return made


rules = Rules(site=site, server=server)
