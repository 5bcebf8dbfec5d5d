"""The original COVID-Net (Wang and Wong 2020, arXiv 2003.09871) as a baseline."""

from typing import ClassVar

from torch import Tensor, nn

from federated.errors import UserError
from federated.learning.models.blocks import dense, require_size, scaled
from federated.learning.models.covidnet import Backbone


class OriginalCovidNet(nn.Module):
    """COVID-Net in the sense in which the redesign compares with it (arXiv 2009.07652).

    The same PEPX dense backbone without batch norm, then the flattened map through dense layers
    of 1024, 256 and ``num_classes``: 134,513,682 parameters at 224 px, width 1 and two classes,
    102,761,472 of them between the map and the first dense layer.

    Taken from the two papers: PEPX, dense and long-range connections, no batch norm, flattening,
    the dense layers 1024 and 256. Not verified against the COVID-Net authors' release: where the
    ReLUs are, and that the last PEPX output alone is flattened; a public PyTorch port flattens
    the sum of block 4 and has no ReLU on the long-range branches. Here both are as in the
    redesign, so that comparing the two shows the norm and the heads and nothing else. The
    published network has three classes and pretrained weights; the initialisation is ours.

    Args:
        num_classes: logits an image.
        image_size: side of the square images in pixels; it fixes the first dense layer.
        width: multiplier of all channel counts.
        in_channels: image channels.

    Raises:
        UserError: an image size under ``min_size``; in ``forward``, images of another size than
            the one that the network was built for.
    """

    heads: ClassVar[tuple[str, ...]] = ("classifier",)
    min_size: ClassVar[int] = 32

    def __init__(
        self, num_classes: int = 2, image_size: int = 224, width: float = 1.0, in_channels: int = 3
    ) -> None:
        super().__init__()
        require_size((image_size, image_size), self.min_size)
        hidden, narrow = scaled(1024, width), scaled(256, width)
        self.image_size = image_size
        self.backbone = Backbone(width=width, in_channels=in_channels, norm="none")
        flat = self.backbone.out_channels * self.backbone.out_size(image_size) ** 2
        self.dense = nn.Sequential(
            nn.Flatten(), dense(flat, hidden), nn.ReLU(), dense(hidden, narrow), nn.ReLU()
        )
        self.classifier = dense(narrow, num_classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, num_classes) and the features before them (B, 256 * width).

        Args:
            images: (B, in_channels, image_size, image_size).
        """
        height, width = images.shape[-2:]
        if (height, width) != (self.image_size, self.image_size):
            raise UserError(
                f"images of {height}x{width} px do not fit a covidnet-original built for "
                f"{self.image_size}x{self.image_size} px: its dense layers have a fixed size"
            )
        features = self.dense(self.backbone(images))
        return self.classifier(features), features
