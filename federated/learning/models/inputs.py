"""What is done to an image before the network sees it, where hospitals' images differ in style.

A layer here stands before a network and has tensors in its state, under ``hospital_input``.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from federated.errors import UserError

INPUT = "hospital_input"
"""Name of the layer among the network's submodules."""
MOMENTUM = 0.1
"""Weight of a batch in the running mean of amplitudes, as in the code of HarmoFL's authors."""


class OwnStatistics(nn.Module):
    """Images normalised by mean and deviation of the hospital's own: (B, 3, S, S), alike.

    Both are means over all images that training has shown, of each image's own (Yan et al., CVPR
    2025, arXiv 2306.09363); they are the hospital's own. ``others`` (K, 2, 3), while
    it is set, is what training draws a pair from, anew for each image.
    """

    stays_at_site: ClassVar[bool] = True
    images: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("deviation", torch.ones(3))
        self.others: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the images less the mean, over the deviation."""
        if self.training:
            self._count(x)
        pairs = torch.stack([self.mean, self.deviation]).expand(len(x), 2, 3)
        if self.training and self.others is not None:
            pairs = self.others[torch.randint(len(self.others), (len(x),))].to(x.device)
        mean, deviation = pairs[:, 0, :, None, None], pairs[:, 1, :, None, None]
        return (x - mean) / deviation

    @torch.no_grad()
    def _count(self, x: Tensor) -> None:
        # The first image takes the place of 0 and 1, which are of none.
        total = self.images + len(x)
        deviation, mean = torch.std_mean(x.float(), (2, 3), correction=0)
        for held, found in ((self.mean, mean), (self.deviation, deviation)):
            held += (found.sum(0) - len(x) * held) / total
        self.images += len(x)


class AmplitudeNorm(nn.Module):
    """Images whose Fourier amplitude is replaced by a running mean of it: (B, 3, S, S), alike.

    Jiang, Wang and Dou, AAAI 2022, arXiv 2112.10775: the amplitude holds the
    style of a scanner, the phase what is to be seen. Until training has shown it images, it leaves
    them as they are.

    Args:
        size: S, side of the images in pixels.
    """

    batches: Tensor
    amplitude: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("amplitude", torch.zeros(3, size, size // 2 + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the images with their own phases and the mean amplitude."""
        spectrum = torch.fft.rfft2(x.float())
        if self.training:
            self._count(spectrum.abs().mean(0))
        if not self.batches:
            return x
        amplitude = self.amplitude.expand(spectrum.shape)
        made: Tensor = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=x.shape[-2:])
        return made

    @torch.no_grad()
    def _count(self, found: Tensor) -> None:
        share = MOMENTUM if self.batches else 1.0
        self.amplitude.lerp_(found, share)
        self.batches += 1


def add_input(model: nn.Module, kind: str, size: int) -> None:
    """Put a layer before a network, in place; the network's own tensors keep their names.

    Args:
        model: The network.
        kind: ``statistics`` or ``amplitude``.
        size: Side of its square input in pixels.

    Raises:
        UserError: it has a submodule of that name already.
    """
    if INPUT in dict(model.named_children()):
        raise UserError(f"model.input = {kind}: the network has a submodule {INPUT}; rename it.")
    model.add_module(INPUT, OwnStatistics() if kind == "statistics" else AmplitudeNorm(size))
    model.register_forward_pre_hook(through_input)


# A function of the module, and no closure: a copy of the network must call its own layer.
def through_input(model: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what the network is given, its images gone through the layer."""
    return (model.get_submodule(INPUT)(given[0]), *given[1:])
