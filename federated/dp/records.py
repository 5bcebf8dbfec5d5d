"""Privacy of a single image: DP-SGD (Abadi et al., CCS 2016, arXiv 1607.00133).

A step draws each training image by itself with probability batch size / images, clips the gradient
of each, adds them up, adds noise, and divides by the batch size. Gradients image by image come from
Opacus. A layer that mixes the images of a batch, as batch norm does in training, gives no image a
gradient of its own: what is clipped then bounds nothing.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from federated.config.training import Train
from federated.dp.stream import Stream, derived
from federated.errors import UserError
from federated.learning.augmentation import training_view
from federated.learning.batches import Batch, Images, load_batch, steps_of_round


@dataclass
class Records:
    """DP-SGD on the images of one site in one round: draws its batches, and guards its gradients.

    Attributes:
        images: The training images.
        train: Batch size and length of the round.
        clip: C, the largest norm of an image's gradient; 0: it is not clipped.
        noise: z, the standard deviation of the noise over C.
        key: Of the draws and the noise.
        is_empty: Whether the present step drew no image; one stands in, and does not count.
    """

    images: Images
    train: Train
    clip: float
    noise: float
    key: bytes
    is_empty: bool = field(default=False, init=False)

    @property
    def rate(self) -> float:
        """The probability with which a step draws an image."""
        return min(1.0, self.train.batch_size / len(self.images))

    def batches(self, generator: torch.Generator, device: torch.device) -> Iterator[Batch]:
        """Yield the batches of a round.

        Args:
            generator: CPU generator of crops and flips.
            device: Where the batches go.
        """
        stream = Stream(derived(self.key, "images"))
        for _ in range(steps_of_round(len(self.images), self.train)):
            drawn = np.flatnonzero(stream.uniforms(len(self.images)) <= self.rate)
            self.is_empty = not len(drawn)
            ids = torch.from_numpy(drawn) if len(drawn) else torch.zeros(1, dtype=torch.long)
            show = training_view(self.train, generator)
            x, labels = load_batch(self.images, ids, device, show)
            yield Batch(x, labels, ids)

    def privatise(self, parameters: list[nn.Parameter], stream: Stream) -> None:
        """Put the noisy mean of clipped gradients in the place of each parameter's gradient.

        Raises:
            UserError: a parameter has a gradient, and no gradient for each image.
        """
        trained = [p for p in parameters if p.grad is not None]
        if any(getattr(p, "grad_sample", None) is None for p in trained):
            raise UserError(
                "a parameter of the network gets its gradient outside of any layer, so no image's "
                "part in it is known: privacy.unit = record cannot be promised."
            )
        samples = [sample_of(p) for p in trained]
        factors = self.factors(samples)
        for parameter, sample in zip(trained, samples, strict=True):
            total = torch.tensordot(factors, sample, dims=1)
            if self.noise:
                noise = torch.from_numpy(stream.normals(tuple(total.shape))).to(total)
                total += self.noise * self.clip * noise
            parameter.grad = total / (self.rate * len(self.images))

    def factors(self, samples: list[Tensor]) -> Tensor:
        """Return what each image's gradient is multiplied by: (B,), min(1, C / norm)."""
        squares = torch.stack([s.flatten(1).double().square().sum(dim=1) for s in samples])
        norms = squares.sum(dim=0).sqrt()
        factors = (self.clip / norms).clamp(max=1.0) if self.clip else torch.ones_like(norms)
        return (torch.zeros_like(factors) if self.is_empty else factors).to(samples[0].dtype)


def sample_of(parameter: nn.Parameter) -> Tensor:
    """Return the gradients of each image, (B, ...); a parameter used twice has two to add."""
    sample: Tensor | list[Tensor] = parameter.grad_sample  # type: ignore[attr-defined]
    return sample if isinstance(sample, Tensor) else torch.stack(sample).sum(dim=0)


@contextmanager
def guarded(
    model: nn.Module, records: Records | None, adjust: Callable[[], None] | None
) -> Iterator[Callable[[], None] | None]:
    """Yield what training calls between backward and step; without records it is ``adjust``.

    What a method does to its gradients comes after the noise, and so costs no privacy.
    """
    if records is None:
        yield adjust
        return
    from opacus.grad_sample import GradSampleHooks  # type: ignore[import-untyped]

    hooks = GradSampleHooks(model, loss_reduction="mean", strict=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    stream = Stream(derived(records.key, "noise"))

    def step() -> None:
        records.privatise(parameters, stream)
        forget(model)
        if adjust is not None:
            adjust()

    try:
        with warnings.catch_warnings():
            # An image wants no gradient, and the first layer's hook works all the same.
            warnings.filterwarnings("ignore", "Full backward hook is firing")
            yield step
    finally:
        forget(model)
        hooks.remove_hooks()
        for parameter in model.parameters():
            for name in ("grad_sample", "_forward_counter"):
                parameter.__dict__.pop(name, None)


def forget(model: nn.Module) -> None:
    """Drop what the hooks have kept of a step, such as of a head that no loss has used."""
    for module in model.modules():
        for name in ("activations", "max_batch_len"):
            module.__dict__.pop(name, None)
    for parameter in model.parameters():
        parameter.__dict__.pop("_current_grad_sample", None)
        if "grad_sample" in parameter.__dict__:
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter._forward_counter = 0  # type: ignore[attr-defined]
