"""A hospital opened by itself, without server or messages, for tests of what it does."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from clients.private_folder import private_folder
from clients.site import Site, open_site
from clients.vault import Vault
from federated.config.study import parse
from federated.exchange.sharing import release
from federated.exchange.wire import Order
from federated.learning.models import build_model

ORDER = Order("", 0, 3, "phantom-1", "", "")

OpenTiny = Callable[..., Site]


def opener(tiny: Callable[..., dict[str, str]], folder: Path) -> OpenTiny:
    """Return what opens phantom-1, or another site, of a tiny run under a method.

    Args:
        tiny: The fixture.
        folder: Of the vaults.
    """

    def open_it(
        method: str,
        of: dict[str, object] | None = None,
        *,
        site: str = "phantom-1",
        vault: str = "",
        **overrides: object,
    ) -> Site:
        """``of`` is the hospital's calendar, ``vault`` names one other than the usual."""
        table = {f"rollout.hospital.{site}.{key}": str(v) for key, v in (of or {}).items()}
        study = parse({**tiny(methods=method, rounds=9, **overrides), **table})
        own = Vault(private_folder(folder / "vaults", vault or f"{site}-{method}"), {})
        return open_site(study.by_method[method], site, seed=0, vault=own)

    return open_it


def arrived(site: Site, seed: int = 9) -> dict[str, Tensor]:
    """Return weights as others might have trained them: those of another seed."""
    model = build_model("convnet", width=0.25, image_size=32, norm="batch", generator_seed=seed)
    return release(model.state_dict(), site.boundary).tensors


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}
