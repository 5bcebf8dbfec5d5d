"""Scanners: how a hospital turns a chest into grey values.

Private batch norm matters because hospitals differ in brightness, contrast, noise and sharpness;
a profile holds exactly these differences. Blur and grain are in pixels of the final image: a
profile stands for the whole chain down to what the network sees, at whatever size that is.
"""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from federated.phantom.canvas import Field, exactly
from federated.seeding import numpy_generator

Grey = npt.NDArray[np.uint8]

AIR = -1000.0  # HU
LUNG_LEVEL, LUNG_WIDTH = -600.0, 1500.0  # HU; the usual lung window
DIALS = 13  # that differ between scanners
STRATA = 4  # sites in a row that share out the range of every dial among them
RARE = 0.03  # share of sites, per unit of shift, that export inverted greys


@dataclass(frozen=True)
class ScannerProfile:
    """One hospital's scanner, protocol and export.

    Attributes:
        kernel: reconstruction kernel; negative blurs by this many pixels (sigma), positive
            sharpens by this factor.
        noise: standard deviation of the noise, HU.
        grain: sigma of the noise's correlation, pixels.
        level: middle of the exported window, HU.
        width: width of the exported window, HU.
        gamma: exponent of the grey curve.
        bias: cupping (beam hardening): how much darker the middle is than the corners, share.
        resolution: matrix size relative to the image's; below 1 detail is lost.
        jpeg: JPEG quality of the export, 1 to 95; 0: lossless.
        inverted: whether air is white.
        marks: probability that an arrow and a letter are drawn on the image, as in COVID-CT.
        turn: rotation of the patient on the couch, degrees.
        drop: how far below the middle the patient lies, share of the field of view.
    """

    kernel: float = 0.0
    noise: float = 30.0
    grain: float = 0.5
    level: float = LUNG_LEVEL
    width: float = LUNG_WIDTH
    gamma: float = 1.0
    bias: float = 0.0
    resolution: float = 1.0
    jpeg: int = 0
    inverted: bool = False
    marks: float = 0.0
    turn: float = 0.0
    drop: float = 0.0


def profile_for(site: int, shift: float, seed: int) -> ScannerProfile:
    """Return the scanner of a site.

    The dials are a Latin hypercube (McKay et al. 1979) over each four sites: a few sites are then
    spread over the range of every dial instead of falling together by chance.

    Args:
        site: number of the site, from 0.
        shift: 0 gives every site the same profile, 1 clearly different ones; up to 3.
        seed: seed of the hypercube.
    """
    if shift == 0:
        return ScannerProfile()
    unit = _dials(site, seed)
    dial = [shift * (2 * one - 1) for one in unit]
    worse = [shift * one for one in unit]
    return ScannerProfile(
        kernel=0.8 * dial[0],
        noise=30.0 * float(np.exp(0.8 * dial[1])),
        grain=0.5 + 0.4 * worse[2],
        level=LUNG_LEVEL + 170 * dial[3],
        width=LUNG_WIDTH * float(np.exp(0.35 * dial[4])),
        gamma=float(np.exp(0.35 * dial[5])),
        bias=0.12 * worse[6],
        resolution=max(0.3, 1 - 0.3 * worse[7]),
        jpeg=0 if unit[8] < 0.5 else max(20, round(95 - 50 * worse[8])),
        inverted=unit[9] < RARE * shift,
        marks=min(0.5, 0.15 * worse[10]),
        turn=4.0 * dial[11],
        drop=0.03 * dial[12],
    )


def acquire(hounsfield: Field, profile: ScannerProfile, rng: np.random.Generator) -> Grey:
    """Return the exported image of a section in HU, both (H, W)."""
    image = _resampled(_filtered(_moved(hounsfield, profile), profile.kernel), profile.resolution)
    if profile.noise:
        image = image + np.float32(profile.noise) * _grain(image.shape, profile.grain, rng)
    low = profile.level - profile.width / 2
    grey = np.clip((image - np.float32(low)) / np.float32(profile.width), 0, 1)
    grey = grey if profile.gamma == 1 else exactly(np.power, grey, np.float32(profile.gamma))
    grey = grey if profile.bias == 0 else grey * _cupping(grey.shape, profile.bias)
    grey = 1 - grey if profile.inverted else grey
    return _exported((grey * 255 + 0.5).astype(np.uint8), profile, rng)


def apply_profile(image: Grey, profile: ScannerProfile, rng: np.random.Generator) -> Grey:
    """Return a real 8-bit image as another hospital's scanner would have shown it.

    The greys are read as a lung window, for which most published slices were exported. A real
    image has its noise already, so only what the profile has above the usual noise is added; the
    profile of shift 0 therefore returns the image as it is.

    Args:
        image: (H, W) uint8; it is not changed.
        profile: the scanner.
        rng: generator of noise and marks.
    """
    low = LUNG_LEVEL - LUNG_WIDTH / 2
    hounsfield = image.astype(np.float32) * np.float32(LUNG_WIDTH / 255) + np.float32(low)
    excess = max(0.0, profile.noise**2 - ScannerProfile().noise ** 2) ** 0.5
    return acquire(hounsfield, replace(profile, noise=excess), rng)


def _dials(site: int, seed: int) -> list[float]:
    """Return the site's place in [0, 1) on every dial."""
    rng = numpy_generator(seed, "scanners", site // STRATA, "profile")
    strata = rng.permuted(np.tile(np.arange(STRATA), (DIALS, 1)), axis=1)
    places: list[float] = ((strata + rng.random((DIALS, STRATA))) / STRATA)[
        :, site % STRATA
    ].tolist()
    return places


def _moved(image: Field, profile: ScannerProfile) -> Field:
    """Return the image turned and lowered; what comes into view is air."""
    if not (profile.turn or profile.drop):
        return image
    height, width = image.shape
    cos, sin = np.cos(np.deg2rad(profile.turn)), np.sin(np.deg2rad(profile.turn))
    x, y = width / 2, height / 2
    down = y + profile.drop * height
    # PIL wants the map from the new image's pixels to the old one's.
    inverse = (cos, sin, x - cos * x - sin * down, -sin, cos, y + sin * x - cos * down)
    moved = Image.fromarray(image).transform(
        (width, height),
        Image.Transform.AFFINE,
        inverse,
        Image.Resampling.BILINEAR,
        fillcolor=AIR,
    )
    return np.asarray(moved)


def _filtered(image: Field, kernel: float) -> Field:
    """Return the image through a smooth (negative) or a sharp (positive) kernel."""
    if kernel == 0:
        return image
    smooth: Field = gaussian_filter(image, -kernel if kernel < 0 else 1.0, truncate=3)
    return smooth if kernel < 0 else image + np.float32(kernel) * (image - smooth)


def _resampled(image: Field, resolution: float) -> Field:
    """Return the image after a stay on a coarser matrix."""
    if resolution == 1:
        return image
    height, width = image.shape
    coarse = max(1, round(width * resolution)), max(1, round(height * resolution))
    small = Image.fromarray(image).resize(coarse, Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _grain(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Field:
    """Return noise of unit variance, correlated over sigma pixels."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, truncate=3)
    unit: Field = noise / (noise.std() + np.float32(1e-6))
    return unit


def _cupping(shape: tuple[int, ...], strength: float) -> Field:
    """Return the factor of brightness: 1 in the corners, 1 - strength in the middle."""
    rows, columns = (np.linspace(-1, 1, side) for side in shape)
    rim = (rows[:, None] ** 2 + columns**2) / 2
    return (1 - strength * (1 - rim)).astype(np.float32)


def _exported(grey: Grey, profile: ScannerProfile, rng: np.random.Generator) -> Grey:
    """Return the image with marks on it, through JPEG, as the profile says."""
    marked = rng.random() < profile.marks
    if not (marked or profile.jpeg):
        return grey
    image = Image.fromarray(grey)
    if marked:
        _draw_marks(image, rng)
    if profile.jpeg:
        packed = BytesIO()
        image.save(packed, "JPEG", quality=profile.jpeg)
        image = Image.open(packed)
    return np.array(image)


def _draw_marks(image: Image.Image, rng: np.random.Generator) -> None:
    """Draw an arrow into the chest and a letter into a corner."""
    side = min(image.size)
    tip, turn = rng.uniform(0.2, 0.8, 2) * image.size, rng.uniform(0, 2 * np.pi)
    ink = int(rng.choice([0, 255]))
    draw = ImageDraw.Draw(image)
    for away, reach in ((0.0, 0.12), (0.5, 0.05), (-0.5, 0.05)):
        end = tip + side * reach * np.array([np.cos(turn + away), np.sin(turn + away)])
        draw.line([*tip.tolist(), *end.tolist()], fill=ink, width=max(1, side // 90))
    corner = (0.04 * side, float(rng.choice([0.03, 0.85])) * image.size[1])
    draw.text(corner, str(rng.choice(list("ABCDRL"))), fill=255, font_size=max(8, side // 10))
