"""The configured network and what of it is shared, the same on both sides."""

from functools import lru_cache

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from federated.config.images import Data
from federated.config.schema import Config
from federated.config.training import Model
from federated.exchange.norms import Watched
from federated.exchange.sharing import Boundary, boundary_of
from federated.learning.models import add_to, build_model
from federated.learning.start import load_start
from federated.learning.watching import watch
from federated.seeding import global_python_seed, seed_for


def network_of(config: Config, seed: int) -> nn.Module:
    """Return the configured network with its first weights, the same at every site for a seed.

    With ``model.start`` they are those of its file, with every seed.

    Raises:
        UserError: the network cannot be built, or the file does not fit it.
    """
    weights_seed = seed_for(seed, "everyone", 0, "weights")
    with global_python_seed(weights_seed):
        model = build_model(
            config.model.name,
            width=config.model.width,
            image_size=config.data.image_size,
            norm=config.model.norm,
            num_classes=config.data.class_count,
            generator_seed=weights_seed,
        )
        if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
            _give_shapes(model, config.data.image_size, weights_seed)
    # Not before lazy layers have their shapes.
    add_to(
        model,
        adapters=config.model.adapters,
        norm=config.model.norm,
        input=config.model.input,
        image_size=config.data.image_size,
    )
    if config.model.start:
        load_start(model, config.model)
    return model


def _give_shapes(model: nn.Module, image_size: int, seed: int) -> None:
    """Let lazy layers take the shapes, and draw the weights, that their first input decides."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model.eval()(torch.zeros(2, 3, image_size, image_size))
    model.train()


def watched(config: Config) -> Watched:
    """Return what a training pass shows of the configured network, once a process."""
    return _watched(config.model, shape_of(config.data))


def shape_of(data: Data) -> Data:
    """Return what of the data a network's shape follows from, and nothing else."""
    return Data(image_size=data.image_size, classes=data.classes)


@lru_cache(maxsize=8)
def _watched(model: Model, data: Data) -> Watched:
    config = Config(model=model, data=data)
    return watch(lambda: network_of(config, seed=0), data.image_size)


def network_boundary(config: Config, model: nn.Module) -> Boundary:
    """Return what of ``model`` is shared; heads are as configured, else as the model declares.

    Raises:
        UserError: a name is not in the network, or a tensor cannot be judged or sent.
    """
    return boundary_of(
        model,
        config.sharing.policy,
        heads_of(config, model),
        private=config.sharing.private,
        shared=config.sharing.shared,
        watched=watched(config),
    )


def heads_of(config: Config, model: nn.Module) -> tuple[str, ...]:
    """Return the names of a network's heads: as configured, else as it declares; perhaps none."""
    named = tuple(name.strip() for name in config.model.heads.split(",") if name.strip())
    return named or tuple(getattr(model, "heads", ()))
