"""SCAFFOLD: control variates against client drift (Karimireddy et al., ICML 2020).

arXiv 1910.06378, algorithm 1, option II. A site keeps its control c_i, the server sends its own c:

    each step:   g <- g - c_i + c
    afterwards:  c_i+ = c_i - c + (x - y_i) / (K lr)
    released:    c_i+ - c_i;  the server adds share x mean to c

With x the weights that arrived, y_i those trained in K steps. The server's mean weighs changes of
controls as it weighs weights, so that c stays the weighted mean of all c_i; with
``server.weighting = uniform`` that is the paper's. The formula of c_i+ assumes SGD: with Adam c_i
is no gradient.
"""

import numpy as np
from torch import Tensor, nn

from federated.config.schema import Config
from federated.exchange.sharing import Boundary, State, as_group, group
from federated.methods.seam import Outcome, Rules, ServerRound, SiteRound, copied

CONTROL = "control"


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    """Return the server's first control variate: zeros for every shared tensor that is trained."""
    shared = set(boundary.shared_names)
    trained = [(n, p) for n, p in model.named_parameters() if n in shared and p.requires_grad]
    return {CONTROL: {name: tensor.detach().new_zeros(tensor.shape) for name, tensor in trained}}


def site(round: SiteRound) -> Outcome:
    """Train with corrected gradients, then renew the site's control variate."""
    c = group(round.sent, CONTROL)
    c_i = dict(round.kept) or {name: tensor.new_zeros(tensor.shape) for name, tensor in c.items()}
    weights = {name: p for name, p in round.model.named_parameters() if name in c}
    arrived = copied(weights)
    correction = {name: (c[name] - c_i[name]).to(p.device) for name, p in weights.items()}

    def adjust() -> None:
        for name, parameter in weights.items():
            if parameter.grad is not None:
                parameter.grad += correction[name]

    trained = round.fit(adjust=adjust)
    scale = 1.0 / (trained.steps * round.lr)
    renewed: dict[str, Tensor] = {
        name: c_i[name] - c[name] + (arrived[name] - y) * scale
        for name, y in copied(weights).items()
    }
    change = {name: renewed[name] - c_i[name] for name in renewed}
    return Outcome(trained, kept=renewed, released=as_group(change, CONTROL))


def server(round: ServerRound) -> dict[str, np.ndarray]:
    """Return c + share x (mean change of the c_i)."""
    renewed = {}
    for name, c in as_group(group(round.before, CONTROL), CONTROL).items():
        change = np.asarray(round.mean[name], np.float64)
        renewed[name] = (np.asarray(c, np.float64) + round.share * change).astype(c.dtype)
    return renewed


rules = Rules(site=site, groups=groups, server=server)
