"""The configured network and its boundary, the same on both sides."""

from torch import nn

from federated.models import build_model
from federated.seeding import seed_for
from federated.settings import Config
from federated.sharing import Boundary, boundary_of


def network_of(config: Config, seed: int) -> nn.Module:
    """Return the configured network with its first weights, the same at every site for a seed."""
    return build_model(
        config.model.name,
        width=config.model.width,
        image_size=config.data.image_size,
        norm=config.model.norm,
        generator_seed=seed_for(seed, "everyone", 0, "weights"),
    )


def configured_boundary(config: Config, model: nn.Module) -> Boundary:
    """Return what of ``model`` is shared; heads are as configured, else as the model declares."""
    named = tuple(name.strip() for name in config.model.heads.split(",") if name.strip())
    return boundary_of(model, config.sharing.policy, named or tuple(getattr(model, "heads", ())))
