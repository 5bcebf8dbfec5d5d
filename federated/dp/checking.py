"""What of a network would make the promise of ``privacy.*`` untrue, found out before round 1."""

import torch
from torch import Tensor, nn

from federated.config.schema import Config
from federated.errors import UserError
from federated.exchange.norms import holds_statistics, norms_of
from federated.exchange.sharing import Boundary
from federated.learning.evaluation import outputs
from federated.seeding import global_torch_seed


def check_protected(config: Config, method: str, model: nn.Module, boundary: Boundary) -> None:
    """Refuse a network whose tensors, or whose layers, no noise can protect.

    Raises:
        UserError: one sentence on what it is.
    """
    if config.privacy.unit == "site":
        _check_update(method, model, boundary)
    if config.privacy.unit == "record":
        _check_opacus(method)
        _check_layers(config, method, model)


def _check_update(method: str, model: nn.Module, boundary: Boundary) -> None:
    """Refuse to share statistics: noise makes variances negative, and they are no update."""
    shared = sorted(norms_of(model).statistics & set(boundary.shared_names))
    floats = [n for n in shared if boundary.by_name[f"weights/{n}"].dtype.startswith("float")]
    if floats:
        raise UserError(
            f"{method}: privacy.unit = site would add noise to {floats[0]}, a statistic of batch "
            "norm whose variance may not become negative; keep it at every site (sharing.policy = "
            "conv or silobn), or set model.norm = group."
        )


def _check_opacus(method: str) -> None:
    try:
        import opacus  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{method}: privacy.unit = record needs Opacus; install it with: pip install "
            "'consilium[privacy]'"
        ) from error


def _check_layers(config: Config, method: str, model: nn.Module) -> None:
    if any(holds_statistics(module) for module in model.modules()):
        raise UserError(
            f"{method}: privacy.unit = record clips each image's gradient, and batch norm makes "
            "it depend on all images of the batch, so that clipping bounds no image's part; set "
            "model.norm = group."
        )
    if config.model.adapters != "none":
        raise UserError(
            f"{method}: privacy.unit = record needs the gradient that each image gives a "
            "convolution, and model.adapters stands in its way; set it to none."
        )
    if mixes_images(model, config.data.image_size):
        raise UserError(
            f"{method}: privacy.unit = record clips each image's gradient, and in training "
            f"{config.model.name} gives an image other logits when another image of the batch "
            "changes; use layers that take each image by itself."
        )


def mixes_images(model: nn.Module, image_size: int) -> bool:
    """Return whether an image's outputs in training depend on the image beside it."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, image_size, image_size, generator=generator)
    other = torch.stack([x[0], 3 * x[1] + 1])
    first, second = (_first_outputs(model, images) for images in (x, other))
    return not all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(first, second, strict=True)
    )


@torch.no_grad()
def _first_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return what the network in training makes of the first of some images, drop-out alike."""
    with global_torch_seed(0):
        logits, embedding = outputs(model.train(), images)
    return [part[0] for part in (logits, embedding) if part is not None]
