"""How alike two images are: PSNR, SSIM, and which of a gallery an image is nearest to."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def psnr(images: Tensor, truth: Tensor) -> Tensor:
    """Return (N,) peak signal-to-noise ratios in dB of (N, S, S) greys from 0 to 1.

    Capped at 100 dB, which equal images have.
    """
    error = (images - truth).square().mean(dim=(1, 2))
    return -10 * error.clamp(min=1e-10).log10()


def ssim(images: Tensor, truth: Tensor) -> Tensor:
    """Return (N,) mean structural similarities of (N, S, S) greys from 0 to 1.

    Gaussian window of 11 pixels and deviation 1.5, where it lies wholly in the image; images
    smaller than that have none. Source: Wang et al., IEEE TIP 13(4), 2004.
    """
    places = torch.arange(WINDOW, dtype=images.dtype) - WINDOW // 2
    bell = (-places.square() / (2 * SIGMA**2)).exp()
    window = torch.outer(bell / bell.sum(), bell / bell.sum())[None, None]

    def mean(of: Tensor) -> Tensor:
        return F.conv2d(of[:, None], window)[:, 0]

    a, b = mean(images), mean(truth)
    va, vb = mean(images.square()) - a.square(), mean(truth.square()) - b.square()
    both = mean(images * truth) - a * b
    map = (2 * a * b + C1) * (2 * both + C2) / ((a**2 + b**2 + C1) * (va + vb + C2))
    return map.mean(dim=(1, 2))


def nearest(images: Tensor, gallery: Tensor) -> Tensor:
    """Return (N,) which of the gallery's G images each of N images is most correlated with.

    Both as differences to the gallery's mean image, which all have in common.
    """
    common = gallery.mean(dim=0)
    a, b = ((greys - common).flatten(1) for greys in (images, gallery))
    a, b = (rows - rows.mean(dim=1, keepdim=True) for rows in (a, b))
    return (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).argmax(dim=1)
