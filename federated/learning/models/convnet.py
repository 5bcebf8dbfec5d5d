"""A small batch-norm network for benchmarks and tests."""

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from federated.learning.models.blocks import conv_norm_relu, dense, require_size, scaled


class ConvNet(nn.Module):
    """Three 3x3 convolutions with norm, ReLU and max-pool; mean over the map; two linear heads.

    110,466 parameters at width 1 with batch norm, two classes and d = 128.

    Args:
        num_classes: logits an image.
        width: multiplier of the channel counts 32, 64 and 128.
        in_channels: image channels.
        norm: ``batch``, ``group`` or ``none``.
        projection: d, the length of an embedding.

    Raises:
        UserError: unknown norm; in ``forward``, images under ``min_size`` pixels.
    """

    heads: ClassVar[tuple[str, ...]] = ("classifier", "projection")
    min_size: ClassVar[int] = 16

    def __init__(
        self,
        num_classes: int = 2,
        width: float = 1.0,
        in_channels: int = 3,
        *,
        norm: str = "batch",
        projection: int = 128,
    ) -> None:
        super().__init__()
        channels = [in_channels, *(scaled(count, width) for count in (32, 64, 128))]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(channels):
            layers += [conv_norm_relu(n_in, n_out, 3, norm=norm, padding=1), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = dense(channels[-1], num_classes)
        self.projection = dense(channels[-1], projection)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, num_classes) and embeddings (B, d) of images (B, in_channels, H, W)."""
        require_size(images.shape[-2:], self.min_size)
        features = self.features(images)
        return self.classifier(features), self.projection(features)
