"""Where a network looked: Grad-CAM."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.errors import UserError
from federated.learning.evaluation import outputs

FEWEST_PLACES = 4
"""Side of the smallest map that still tells places apart."""


def grad_cam(model: nn.Module, x: Tensor, target: int = 1) -> Tensor:
    """Return what in each image speaks for a class (Grad-CAM), as (B, h, w), 0 and above.

    Each channel of a map is weighted by the mean gradient of the class's logit over it; what speaks
    against the class is cut off (Selvaraju et al., ICCV 2017, equations 1 and 2). The map is that
    of the last layer whose side is at least ``FEWEST_PLACES`` and on which the logit depends.

    Args:
        model: The network; it is evaluated, and its weights are left alone.
        x: (B, 3, S, S) normalised images.
        target: The class, 1 is COVID-19.

    Raises:
        UserError: the network has no such map.
    """
    maps: list[Tensor] = []

    def keep(module: nn.Module, given: object, made: object) -> None:
        if isinstance(made, Tensor) and made.ndim == 4 and min(made.shape[2:]) >= FEWEST_PLACES:
            maps.append(made)

    hooks = [module.register_forward_hook(keep) for module in model.eval().modules()]
    try:
        with torch.enable_grad():
            logits, _ = outputs(model, x.clone().requires_grad_())
            score = logits[:, target].sum()
            gradients = torch.autograd.grad(score, maps, allow_unused=True) if maps else ()
    finally:
        for hook in hooks:
            hook.remove()
    for made, gradient in zip(reversed(maps), reversed(gradients), strict=True):
        if gradient is not None:
            return F.relu((gradient.mean(dim=(2, 3), keepdim=True) * made).sum(dim=1)).detach()
    raise UserError(
        f"{type(model).__name__} has no map of {FEWEST_PLACES} x {FEWEST_PLACES} places or more "
        "on which its answer depends, so it cannot be shown where it looked."
    )


def overlay(maps: Tensor, size: int) -> Tensor:
    """Return maps (B, h, w) enlarged to (B, size, size), each with its greatest value as 1."""
    large = F.interpolate(maps[:, None], size=(size, size), mode="bilinear", align_corners=False)
    most = large.amax(dim=(2, 3), keepdim=True)
    return (large / most.clamp_min(torch.finfo(large.dtype).tiny))[:, 0]
