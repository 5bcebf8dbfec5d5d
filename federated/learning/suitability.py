"""Whether a network suits a run, found out on random images before round 1."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from federated.config.images import Data
from federated.config.schema import Config
from federated.config.training import Model
from federated.errors import UserError
from federated.exchange.norms import Watched, holds_statistics, norms_of, tensors_of
from federated.learning.compute import Compute
from federated.learning.evaluation import average_statistics
from federated.learning.network import network_of, shape_of, watched
from federated.learning.watching import same_bits, training_pass

State = dict[str, Tensor]


@dataclass(frozen=True)
class Suitability:
    """What two images showed: the embedding's shape, and statistics that cannot be averaged."""

    embedding: tuple[int, ...] | None
    not_averaged: tuple[str, ...]


def check_network(config: Config, method: str) -> None:
    """Check that the configured network fits its method.

    Raises:
        UserError: it fails, returns what no loss can be taken of, cannot be trained, is another at
            each call of its factory, or lacks what the method needs.
    """
    network = config.model.name
    suitability = _tried(config.model, shape_of(config.data))
    objective, shape = config.contrast.objective, suitability.embedding
    if objective != "none" and shape is None:
        raise UserError(
            f"{method}: contrast.objective = {objective} needs an embedding; let {network} return "
            "(logits, embedding)."
        )
    if objective != "none" and shape is not None and len(shape) != 2:
        raise UserError(
            f"{method}: contrast.objective = {objective} needs a vector an image, and {network} "
            f"returns an embedding of shape {shape} for two images; flatten or pool it to (2, d)."
        )
    if config.bn.recalibrate and suitability.not_averaged:
        raise UserError(
            f"{method}: bn.recalibrate cannot re-estimate {', '.join(suitability.not_averaged)} of "
            f"{network}, since their layer has no momentum that 1/k makes a plain mean; set "
            "bn.recalibrate = false."
        )


@lru_cache(maxsize=8)
def _tried(model: Model, data: Data) -> Suitability:
    """Return what is found of a network once a process, whichever methods use it."""
    config, image_size = Config(model=model, data=data), data.image_size

    def make() -> nn.Module:
        return network_of(config, seed=0)

    name = model.name
    check_factory(name, make)
    try:
        in_training = training_pass(make(), image_size, 0)
        with torch.no_grad():
            in_evaluation = make().eval()(torch.zeros(2, 3, image_size, image_size))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} fails on two images of {image_size}x{image_size} px: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:300]}."
        ) from error
    embedding = check_outputs(name, in_training, data.class_count)
    if (check_outputs(name, in_evaluation, data.class_count) is None) != (embedding is None):
        raise UserError(
            f"{name} returns an embedding in training or in evaluation only; let it return the "
            "same in both, and leave auxiliary outputs out."
        )
    shape = None if embedding is None else tuple(embedding.shape)
    return Suitability(shape, not_averaged(make, image_size, watched(config)))


def check_factory(name: str, make: Callable[[], nn.Module]) -> None:
    """Check that a factory makes a new network each time, the same for a seed, and one to train.

    Raises:
        UserError: it does not.
    """
    first, second = make(), make()
    if first is second:
        raise UserError(f"{name} returns the same object at every call; let it make a new network.")
    a, b = tensors_of(first), tensors_of(second)
    for key, tensor in a.items():
        if not same_bits(b.get(key), tensor):
            raise UserError(
                f"{name} makes another {key} at every call; draw weights with torch's, NumPy's or "
                "Python's global generator, so that every site begins with the same."
            )
    if not any(parameter.requires_grad for parameter in first.parameters()):
        raise UserError(f"{name} has no parameter to train: requires_grad is false on all of them.")


def check_outputs(name: str, result: object, classes: int = 2) -> Tensor | None:
    """Return the embedding of what a network returns for two images, None if there is none.

    Raises:
        UserError: it is neither logits nor (logits, embedding), or the logits are not (2, classes).
    """
    parts = list(result) if isinstance(result, tuple | list) else [result]
    tensors = [p for p in parts if isinstance(p, Tensor) and p.is_floating_point()]
    if len(tensors) != len(parts) or not 1 <= len(parts) <= 2:
        raise UserError(
            f"{name} returns {_described(result)}; return logits (B, {classes}) alone or (logits, "
            "embedding), in training as in evaluation."
        )
    logits = tensors[0]
    if logits.shape != (2, classes):
        raise UserError(
            f"{name} returns logits of shape {tuple(logits.shape)} for two images; "
            f"(2, {classes}) is needed: one logit per class."
        )
    if not logits.isfinite().all():
        raise UserError(f"{name} returns logits that are not finite, with its first weights.")
    return tensors[1] if len(tensors) == 2 else None


def _described(result: object) -> str:
    if result is None:
        return "None"
    kind = f"a {type(result).__name__}"
    if not isinstance(result, tuple | list):
        return kind
    return f"{kind} of {', '.join(type(part).__name__ for part in result)}"


def not_averaged(make: Callable[[], nn.Module], image_size: int, seen: Watched) -> tuple[str, ...]:
    """Return statistics that recalibration leaves, or makes something else than a mean of.

    Tried on two batches: the statistics of both must be the mean of those of each. torch's own
    norms are not tried.
    """
    model = make()
    foreign = [m for m in model.modules() if holds_statistics(m) and not isinstance(m, _NormBase)]
    names = norms_of(model).statistics
    if not foreign and not (seen.by_data | seen.statistics) - names:
        return ()
    names |= seen.by_data | seen.statistics
    trained = [_trained(make(), image_size, images) for images in (0, 1)]
    moved = [n for n in sorted(names) if not torch.equal(trained[0][n], trained[1][n])]
    a, b, both = (_averaged(make(), image_size, images) for images in ((0,), (1,), (0, 1)))
    return tuple(
        name
        for name in moved
        if torch.equal(a[name], b[name])
        or not torch.allclose((a[name] + b[name]) / 2, both[name] * 1.0, rtol=1e-3, atol=1e-5)
    )


def _trained(model: nn.Module, image_size: int, images: int) -> State:
    training_pass(model, image_size, images)
    return tensors_of(model)


def _averaged(model: nn.Module, image_size: int, images: tuple[int, ...]) -> State:
    generators = [torch.Generator().manual_seed(seed) for seed in images]
    batches = [torch.randn(2, 3, image_size, image_size, generator=g) for g in generators]
    average_statistics(model, batches, Compute(torch.device("cpu"), bf16=False))
    return tensors_of(model)
