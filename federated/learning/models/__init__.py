"""Networks by name.

A network takes images (B, 3, H, W) and returns logits (B, num_classes), alone or with embeddings
(B, d) that are not normalised. Under autocast both come in its dtype: a loss casts them to float
first. ``heads``, if it has one, names its head submodules, and
``min_size`` the smallest images in pixels.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from federated.config.external import imported
from federated.errors import UserError, did_you_mean, shown
from federated.learning.models.adapters import add_adapters
from federated.learning.models.blocks import require_size
from federated.learning.models.convnet import ConvNet
from federated.learning.models.covidnet import CovidNet
from federated.learning.models.inputs import add_input
from federated.learning.models.original import OriginalCovidNet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "covidnet": CovidNet,
    "covidnet-original": OriginalCovidNet,
    "convnet": ConvNet,
}


def build_model(
    name: str,
    *,
    width: float,
    image_size: int,
    norm: str,
    num_classes: int = 2,
    adapters: str = "none",
    input: str = "plain",
    generator_seed: int,
) -> nn.Module:
    """Return a network whose weights depend on the arguments alone.

    The factory is called with those of ``num_classes``, ``image_size``, ``width`` and ``norm``
    that its signature takes: covidnet-original, for one, knows no norm. torch's global generator
    is as it was before when this returns.

    Args:
        name: a key of ``MODELS``, or ``package.module:factory`` for a network of the user's.
        width: multiplier of all channel counts.
        image_size: side of the square input in pixels.
        norm: ``batch``, ``group`` or ``none``.
        num_classes: logits an image.
        adapters: ``series`` or ``parallel`` (``federated.learning.models.adapters``), or ``none``.
        input: ``statistics`` or ``amplitude`` (``federated.learning.models.inputs``), or ``plain``.
        generator_seed: seed of the initial weights.

    Raises:
        UserError: no such network, a factory that cannot be imported or called or returns no
            module, a norm for a network that takes none, or images that are too small for it.
    """
    factory = _imported(name) if ":" in name else MODELS.get(name)
    if factory is None:
        raise UserError(
            f"unknown model '{name}'{did_you_mean(name, MODELS)}: give one of {', '.join(MODELS)} "
            "or package.module:factory."
        )
    arguments = {"num_classes": num_classes, "image_size": image_size, "width": width, "norm": norm}
    accepted = _accepted(name, factory, arguments)
    if norm != "batch" and "norm" not in accepted:
        raise UserError(f"model.norm = {norm}, but {name} takes no norm; leave model.norm alone")
    # Not torch.manual_seed: it reseeds every GPU's generator too, outside the fork.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator_seed)
        model = factory(**accepted)
    if not isinstance(model, nn.Module):
        raise UserError(f"model '{name}' returned {type(model).__name__}, not a torch module")
    require_size((image_size, image_size), getattr(model, "min_size", 1))
    add_to(model, adapters=adapters, norm=norm, input=input, image_size=image_size)
    return model


def add_to(model: nn.Module, *, adapters: str, norm: str, input: str, image_size: int) -> None:
    """Give a network, in place, what it may have beside its own layers; arguments as above.

    Raises:
        UserError: it has no place for it.
    """
    if adapters != "none":
        add_adapters(model, adapters, norm)
    if input != "plain":
        add_input(model, input, image_size)


def _imported(path: str) -> Callable[..., nn.Module]:
    """Return the factory that ``package.module:factory`` names."""
    factory = imported(path, "model.name")
    if not callable(factory):
        raise UserError(
            f"model.name = {shown(path)} is a value of type {type(factory).__name__}; name a "
            "function or class that makes a network."
        )
    return factory  # type: ignore[no-any-return]


def _accepted(
    name: str, factory: Callable[..., nn.Module], arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return those arguments that the factory's signature takes."""
    signature = inspect.signature(factory)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        arguments = {key: arguments[key] for key in arguments if key in signature.parameters}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UserError(f"cannot call model '{name}': {error}") from error
    return arguments
