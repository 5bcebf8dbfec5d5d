"""HBN: batch norm between the batch's statistics and the federation's (Chen et al., ICML 2025).

arXiv 2505.21877. Each channel of each batch norm has a factor a at each hospital, which it learns:

    mean = (1 - a) global mean + a batch mean,  variance alike;  a = sigmoid(factor), 1/2 at first

Statistics are separate from learning: before a site trains, it passes over the round's images under
the weights that arrived, and what it found is what it sends; training changes none of them. The
server makes of them the statistics of all images together, as if they were in one place: with p_k
the weight of a site, m_k its means and v_k its variances,

    global mean = sum_k p_k m_k
    global variance = sum_k p_k v_k + sum_k p_k m_k^2 - (global mean)^2

So, beside what FedAvg sends, the squares m_k^2 leave, in the group ``squares``; they follow from
the means, which leave under ``sharing.policy = all`` anyway. Factors stay in the vault. Evaluation
uses the global statistics, which are of the weights before the round's last step: the paper asks
all sites for new ones whenever it evaluates. A round takes one more pass over its images, forward
only.
"""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from federated.config.schema import Config
from federated.exchange.sharing import WEIGHTS, Boundary, State, as_group, group
from federated.learning.compute import autocast
from federated.methods.seam import Arrays, Outcome, Rules, ServerRound, SiteRound, copied
from federated.seeding import global_torch_seed

SQUARES = "squares"
MEAN, VARIANCE = "running_mean", "running_var"


class HybridNorm(nn.Module):
    """A batch norm that training lets mix the batch's statistics with those that it holds.

    Args:
        norm: The batch norm, whose tensors it uses and whose statistics it leaves alone.
        factor: (C,) what a is the sigmoid of.
    """

    def __init__(self, norm: _BatchNorm, factor: Tensor) -> None:
        super().__init__()
        self.norm, self.factor = norm, nn.Parameter(factor)
        self.images = 0
        self.first = self.second = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, ...) normalised; in evaluation by the held statistics alone."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        if not self.training or mean is None or variance is None:
            evaluated: Tensor = self.norm(x)
            return evaluated
        wide = x.float()
        of_batch = torch.var_mean(wide, [0, *range(2, x.ndim)], correction=0)
        self._count(len(x), *of_batch)
        a = self.factor.sigmoid()
        variance, mean = (
            (1 - a) * held + a * found
            for held, found in zip((variance, mean), of_batch, strict=True)
        )
        # By hand, because torch's batch_norm has no gradient for statistics that it is given.
        scale = torch.rsqrt(variance + self.norm.eps)
        scale = scale * self.norm.weight if self.norm.affine else scale
        shift = self.norm.bias if self.norm.affine else torch.zeros_like(mean)
        scale, mean, shift = (t.view(1, -1, *[1] * (x.ndim - 2)) for t in (scale, mean, shift))
        made: Tensor = ((wide - mean) * scale + shift).to(x.dtype)
        return made

    def _count(self, images: int, variance: Tensor, mean: Tensor) -> None:
        """Add a batch's first and second moments to those of the pass."""
        variance, mean = variance.detach().double(), mean.detach().double()
        self.first = self.first + images * mean
        self.second = self.second + images * (variance + mean**2)
        self.images += images

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance, (C,), of all images since it was made."""
        mean = self.first / self.images
        return mean, (self.second / self.images - mean**2).clamp(min=0)


def norms_in(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms of a network that hold statistics, by path."""
    modules = model.named_modules(remove_duplicate=False)
    norms = {path: module for path, module in modules if isinstance(module, _BatchNorm)}
    return {path: norm for path, norm in norms.items() if norm.running_mean is not None}


def hybrid(
    model: nn.Module, factors: Mapping[str, Tensor]
) -> tuple[nn.Module, dict[str, HybridNorm]]:
    """Return the network with hybrid norms, all tensors being the very ones of ``model``.

    Args:
        model: A network that is more than one batch norm.
        factors: By the norm's path; zeros for those that have none yet.
    """
    tensors = (*model.parameters(), *model.buffers())
    made = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    by_norm: dict[_BatchNorm, HybridNorm] = {}
    for path, norm in norms_in(made).items():
        factor = factors.get(path, torch.zeros(norm.num_features)).clone()
        by_norm.setdefault(norm, HybridNorm(norm, factor.to(norm.get_buffer(MEAN).device)))
        made.set_submodule(path, by_norm[norm])
    norms = {path: m for path, m in made.named_modules() if isinstance(m, HybridNorm)}
    return made, norms


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    """Return zeros for the squared means of each batch norm whose statistics are shared."""
    shared = set(boundary.shared_names)
    means = {f"{path}.{MEAN}": norm.get_buffer(MEAN) for path, norm in norms_in(model).items()}
    return {SQUARES: {n: torch.zeros(len(t)) for n, t in means.items() if n in shared}}


def site(round: SiteRound) -> Outcome:
    """Measure the statistics under the weights that arrived, then train without changing them."""
    measured = statistics(round)
    model, norms = hybrid(round.model, round.kept)
    trained = round.fit(model)
    state = round.model.state_dict()
    for name, tensor in measured.items():
        state[name].copy_(tensor)
    released = {n: state[n].cpu() ** 2 for n in group(round.sent, SQUARES)}
    kept = copied({path: norm.factor for path, norm in norms.items()})
    return Outcome(trained, kept=kept, released=as_group(released, SQUARES))


@torch.no_grad()
def statistics(round: SiteRound) -> dict[str, Tensor]:
    """Return mean and variance of what each batch norm is given, over the round's images."""
    model, norms = hybrid(round.model, round.kept)
    model.train()
    with global_torch_seed(round.seed), autocast(round.compute.device, bf16=round.compute.bf16):
        for x, _, _ in round.batches():
            model(x)
    found = {path: norm.statistics() for path, norm in norms.items() if norm.images}
    return {
        f"{path}.{name}": tensor
        for path, both in found.items()
        for name, tensor in zip((MEAN, VARIANCE), both, strict=True)
    }


def server(round: ServerRound) -> Arrays:
    """Return the statistics of all images together, and the mean squares as they are."""
    made = {}
    for name, square in group(round.mean, SQUARES).items():
        path = f"{WEIGHTS}/{name.removesuffix(MEAN)}"
        parts = (round.mean[f"{path}{MEAN}"], round.mean[f"{path}{VARIANCE}"], square)
        mean, within, squares = (np.asarray(part, np.float64) for part in parts)
        made[f"{path}{VARIANCE}"] = np.maximum(within + squares - mean**2, 0.0)
        made[f"{SQUARES}/{name}"] = squares
    return made


rules = Rules(site=site, groups=groups, server=server)
