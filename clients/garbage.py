"""What a broken or hostile hospital sends in the place of its update, as the scenario says."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from clients.site import Site
from federated.exchange.sharing import WEIGHTS, Release, State

Spoil = Callable[[Tensor, Tensor, torch.Generator, float], Tensor]
"""From what was sent, what was to be released, a generator and a scale to what is released."""


def noise(sent: Tensor, released: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return numbers from N(0, 1)."""
    return torch.randn(released.shape, generator=generator)


def nan(sent: Tensor, released: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return NaN for every number."""
    return torch.full_like(released, torch.nan)


def flipped(sent: Tensor, released: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return the update with its sign flipped: it undoes what was learnt."""
    return sent - (released - sent)


def scaled(sent: Tensor, released: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return the update made longer, so that its hospital outweighs the others."""
    return sent + scale * (released - sent)


def unspoilt(sent: Tensor, released: Tensor, generator: torch.Generator, scale: float) -> Tensor:
    """Return the update as it is: what is wrong with it is what it was trained on."""
    return released


SPOILS: Mapping[str, Spoil] = {
    "noise": noise,
    "nan": nan,
    "sign-flip": flipped,
    "scaled": scaled,
    "label-flip": unspoilt,
}
"""By the choices of a calendar's ``garbage-kind``."""


def garbage(site: Site, round: int, sent: State, released: Release) -> Release:
    """Return what a site releases while the scenario has it send garbage.

    Integer tensors, such as batch counters, stay; the site itself goes on unharmed. What a method
    sends in groups of its own is a change already, and begins at zero.
    """
    calendar, generator = site.hospital.calendar, site.generator(round, "garbage")
    spoil, tensors = SPOILS[calendar.garbage_kind], dict(released.tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            before = (
                sent[name].cpu() if name.startswith(f"{WEIGHTS}/") else torch.zeros_like(tensor)
            )
            spoilt = spoil(before, tensor, generator, calendar.garbage_scale)
            tensors[name] = spoilt.to(tensor.dtype)
    return Release(tensors)
