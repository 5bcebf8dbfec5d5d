"""The configured network and its boundary, the same on both sides."""

import torch
from torch import nn

from federated.config.schema import Config
from federated.errors import UserError
from federated.exchange.sharing import Boundary, boundary_of
from federated.learning.evaluation import outputs
from federated.learning.models import build_model
from federated.seeding import seed_for


def network_of(config: Config, seed: int) -> nn.Module:
    """Return the configured network with its first weights, the same at every site for a seed."""
    return build_model(
        config.model.name,
        width=config.model.width,
        image_size=config.data.image_size,
        norm=config.model.norm,
        generator_seed=seed_for(seed, "everyone", 0, "weights"),
    )


def check_network(config: Config, model: nn.Module, method: str) -> None:
    """Check that ``model`` fits its method.

    Raises:
        UserError: logits are not (batch, 2), or there is no embedding to contrast.
    """
    size = config.data.image_size
    with torch.no_grad():
        logits, embedding = outputs(model.eval(), torch.zeros(2, 3, size, size))
    if logits.shape != (2, 2):
        raise UserError(
            f"{config.model.name} returns logits of shape {tuple(logits.shape)} for two images; "
            "(2, 2) is needed: one logit per class."
        )
    if config.contrast.objective != "none" and embedding is None:
        raise UserError(
            f"{method}: contrast.objective = {config.contrast.objective} needs an embedding; let "
            f"{config.model.name} return (logits, embedding)."
        )


def network_boundary(config: Config, model: nn.Module) -> Boundary:
    """Return what of ``model`` is shared; heads are as configured, else as the model declares."""
    named = tuple(name.strip() for name in config.model.heads.split(",") if name.strip())
    return boundary_of(model, config.sharing.policy, named or tuple(getattr(model, "heads", ())))
