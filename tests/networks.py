"""Networks of the published shapes that MONAI does not have, for the test of the split."""

from torch import Tensor, nn


def vgg11_bn() -> nn.Module:
    """VGG-11 with batch norm (Simonyan and Zisserman, arXiv 1409.1556): 8 convolutions."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = int(width)
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(*layers))
    network.add_module("classifier", nn.Sequential(nn.Flatten(), nn.Linear(512, 2)))
    return network


def conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand, filter by depth, project; the published order puts a bare BatchNorm2d last."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.conv = nn.Sequential(
            *([conv_bn(inputs, hidden, 1)] if expand != 1 else []),
            conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


def mobilenet_v2() -> nn.Module:
    """MobileNetV2 (Sandler et al., CVPR 2018, table 2)."""
    table = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    blocks, channels = [conv_bn(3, 32, 3, 2)], 32
    for expand, outputs, repeats, stride in table:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(channels, outputs, stride if repeat == 0 else 1, expand))
            channels = outputs
    blocks.append(conv_bn(channels, 1280, 1))
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 2))
