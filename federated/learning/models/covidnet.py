"""The redesigned COVID-Net of Wang, Liu and Dou (IEEE J-BHI 2020, arXiv 2009.07652)."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d

from federated.learning.models.blocks import (
    PEPX,
    WholeMapConv2d,
    conv,
    conv_norm_relu,
    require_size,
    scaled,
)

BLOCK_CHANNELS = (256, 512, 1024, 2048)
BLOCK_DEPTHS = (3, 4, 6, 3)


class DenseBlock(nn.Module):
    """PEPX steps, each fed with the sum of the long-range branch and all earlier steps.

    p1 = PEPX(inputs); p_k = PEPX(long + p1 + ... + p_{k-1}).
    """

    def __init__(self, n_in: int, n_out: int, depth: int) -> None:
        super().__init__()
        # With a gain of 1 each step would double the variance of the sum, 2^16 over the 16 steps.
        # With 1/depth even terms that all agree multiply the sum by no more than
        # (1 + 1/depth)^depth, which is under e.
        gain = 1 / depth
        widths = (n_in, *(n_out,) * (depth - 1))
        self.steps = nn.ModuleList(PEPX(width, n_out, gain=gain) for width in widths)

    def forward(self, inputs: Tensor, long: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the sum of ``long`` and every step, and its terms, the last step last.

        Args:
            inputs: (B, n_in, H, W), what the first step reads.
            long: (B, n_out, H, W), the long-range branch.
        """
        total, terms = long, [long]
        for index, step in enumerate(self.steps):
            terms.append(step(total if index else inputs))
            total = total + terms[-1]
        return total, terms


def sum_of_halved(terms: list[Tensor]) -> Tensor:
    """Return the sum of the terms, each max-pooled by itself: (B, C, H, W) -> (B, C, H/2, W/2).

    As published: mp2(p11) + mp2(p12) + mp2(p13) + mp2(L1). Pooling the sum is another function,
    since the terms have their maxima at different places.
    """
    first, *others = [max_pool2d(term, 2) for term in terms]
    return sum(others, first)


class Backbone(nn.Module):
    """Stem and four dense PEPX blocks: (B, in_channels, H, W) -> (B, C, H/32, W/32).

    C is 2048 at width 1. With no norm it is the backbone of the original COVID-Net as well.
    """

    def __init__(self, *, width: float, in_channels: int, norm: str) -> None:
        super().__init__()
        stem = scaled(64, width)
        ends = [scaled(channels, width) for channels in BLOCK_CHANNELS]
        starts = [stem, *ends[:-1]]
        self.stem = conv_norm_relu(in_channels, stem, 7, norm=norm, stride=2, padding=3, halve=True)
        self.longs = nn.ModuleList(
            conv_norm_relu(n_in, n_out, norm=norm, halve=index > 0)
            for index, (n_in, n_out) in enumerate(zip(starts, ends, strict=True))
        )
        self.blocks = nn.ModuleList(
            DenseBlock(n_in, n_out, depth)
            for n_in, n_out, depth in zip(starts, ends, BLOCK_DEPTHS, strict=True)
        )
        self.out_channels = ends[-1]

    @staticmethod
    def out_size(image_size: int) -> int:
        """Return the side of the output's map: five halvings, of which the stem's rounds up."""
        return (image_size + 1) // 2 // 16

    def forward(self, images: Tensor) -> Tensor:
        """Return the last step of the last block, p43."""
        total: Tensor
        terms: list[Tensor]
        stem = self.stem(images)
        total, terms = self.blocks[0](stem, self.longs[0](stem))
        for block, long in zip(self.blocks[1:], self.longs[1:], strict=True):
            # The branch reads the sum before it is halved and halves its own map; the block's
            # first step reads the sum of the halved terms.
            total, terms = block(sum_of_halved(terms), long(total))
        return terms[-1]


def pool_to_2x2(maps: Tensor) -> Tensor:
    """Return (B, C, 2, 2): torch's adaptive average pooling of maps (B, C, H, W).

    Written as a plain pooling whose windows overlap by a row where H is odd (7 -> rows 0-3 and
    3-6), because the backward pass of the adaptive one adds in any order on a GPU.
    """
    maps = maps.expand(-1, -1, *(max(2, side) for side in maps.shape[-2:]))
    height, width = maps.shape[-2:]
    window = ((height + 1) // 2, (width + 1) // 2)
    return avg_pool2d(maps, window, stride=(height // 2, width // 2))


class CovidNet(nn.Module):
    """The redesigned COVID-Net: dense PEPX backbone, a classifier and a projection head.

    At width 1 without norm it has 48,662,674 parameters, 31,489,296 of them in the backbone;
    batch norm adds 12,672 in nine layers. Every other weight belongs to a convolution: the heads'
    dense layers on the 2x2 pooled map are written as a 2x2 and then 1x1 convolutions.

    In training mode with batch norm a batch must hold two images or more: the heads normalise
    1x1 maps, and torch refuses a variance over a single value.

    Args:
        num_classes: logits an image.
        width: multiplier of all channel counts but ``projection``.
        in_channels: image channels; a grey CT slice is repeated to 3.
        norm: ``batch``, ``group`` or ``none``; the ReLUs stay in any case.
        projection: d, the length of an embedding.

    Raises:
        UserError: unknown norm; in ``forward``, images under ``min_size`` pixels.
    """

    heads: ClassVar[tuple[str, ...]] = ("classifier", "projection")
    min_size: ClassVar[int] = 32

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
        self.backbone = Backbone(width=width, in_channels=in_channels, norm=norm)
        features = self.backbone.out_channels
        hidden, narrow = scaled(1024, width), scaled(256, width)
        self.classifier = nn.Sequential(
            conv_norm_relu(features, hidden, 2, norm=norm, kind=WholeMapConv2d),
            conv_norm_relu(hidden, narrow, norm=norm),
            conv(narrow, num_classes),
        )
        self.projection = nn.Sequential(
            conv_norm_relu(features, hidden, 2, norm=norm, kind=WholeMapConv2d),
            conv_norm_relu(hidden, projection, norm=norm),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, num_classes) and embeddings (B, d) of images (B, in_channels, H, W).

        Embeddings end in a ReLU as published and are not normalised: the losses do that, and
        must bear a row of zeros.
        """
        require_size(images.shape[-2:], self.min_size)
        pooled = pool_to_2x2(self.backbone(images))
        return self.classifier(pooled).flatten(1), self.projection(pooled).flatten(1)
