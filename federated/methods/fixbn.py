"""FixBN: batch norm as usual at first, later with statistics that stand still (Zhong et al. 2023).

arXiv 2303.06530. Up to the middle of the rounds a site trains as FedAvg does. From then on every
batch norm normalises with the running statistics that the server sent, in training as in
evaluation, so that the hospitals' gradients are of one and the same function; its scale and shift
learn on.
"""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from federated.methods.seam import Outcome, Rules, SiteRound

MIDDLE = 0.5
"""Share of the rounds after which the statistics stand still."""


class StillNorm(nn.Module):
    """A network whose batch norms stay in evaluation mode while it trains.

    Args:
        network: The network; its tensors are those of this module.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        """Return what the network returns."""
        return self.network(x)

    def train(self, mode: bool = True) -> "StillNorm":
        """Set the mode of all but the batch norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self


def site(round: SiteRound) -> Outcome:
    """Train as FedAvg does, in the second half of the rounds with the statistics held still."""
    if round.number <= MIDDLE * round.config.rounds:
        return Outcome(round.fit())
    return Outcome(round.fit(StillNorm(round.model)))


rules = Rules(site=site)
