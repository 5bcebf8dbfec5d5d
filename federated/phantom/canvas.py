"""A label image of tissues in millimetres, painted over each other at twice the resolution."""

from collections.abc import Callable
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SUPERSAMPLING = 2


def exactly(function: Callable[..., Any], *values: Any) -> Field:
    """Return a function of float32 fields with the same bits on every processor.

    numpy computes ``exp`` and ``power`` of float32 in other ways where a processor has wider
    vectors, and the last bit differs. In float64 it does so, too, but far below what is left here.
    """
    made: Field = function(*(np.asarray(value, np.float64) for value in values)).astype(np.float32)
    return made


class Tissue(IntEnum):
    """What a sample of a section consists of."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    LUNG = 4
    MEDIASTINUM = 5
    BLOOD = 6
    MARROW = 7
    CORTEX = 8
    AIRWAY = 9
    LIVER = 10
    TABLE = 11
    FOAM = 12


class Canvas:
    """Paints shapes given in mm around the middle of the field of view; the last one wins."""

    def __init__(self, size: int, view: float) -> None:
        """Start with air.

        Args:
            size: side of the final image in pixels.
            view: side of the field of view in mm.
        """
        self._side = size * SUPERSAMPLING
        self._scale = self._side / view
        self._image = Image.new("L", (self._side, self._side), int(Tissue.AIR))
        self._draw = ImageDraw.Draw(self._image)

    def labels(self) -> npt.NDArray[np.uint8]:
        """Return the tissue of every sample, (2 size, 2 size)."""
        return np.asarray(self._image)

    def polygon(self, points: Points, tissue: Tissue) -> None:
        """Fill a closed outline, (N, 2) in mm."""
        self._draw.polygon(self._pixels(points), fill=int(tissue))

    def line(self, points: Points, width: float, tissue: Tissue) -> None:
        """Draw an open line, (N, 2) in mm, of a width in mm; never thinner than a sample."""
        pixels = max(1, round(width * self._scale))
        self._draw.line(self._pixels(points), fill=int(tissue), width=pixels, joint="curve")

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        tissue: Tissue,
        *,
        turn: float = 0.0,
    ) -> None:
        """Fill an ellipse; ``turn`` in radians, clockwise on the screen."""
        shape = superellipse(radii[0], radii[1], power=2.0, points=32)
        cos, sin = np.cos(turn), np.sin(turn)
        turned = shape @ np.array([[cos, sin], [-sin, cos]])
        self.polygon(turned + centre, tissue)

    def bone(self, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """Fill an ellipse of marrow within a cortex of 2 mm."""
        self.ellipse(centre, radii, Tissue.CORTEX)
        self.ellipse(centre, (radii[0] - 2, radii[1] - 2), Tissue.MARROW)

    def _pixels(self, points: Points) -> list[float]:
        pixels: list[float] = (points * self._scale + self._side / 2).ravel().tolist()
        return pixels


def superellipse(rx: float, ry: float, *, power: float, points: int = 96) -> Points:
    """Return the outline |x/rx|^power + |y/ry|^power = 1 as (points, 2)."""
    cos, sin = _circle(points)
    return np.column_stack(
        [
            rx * np.sign(cos) * np.abs(cos) ** (2 / power),
            ry * np.sign(sin) * np.abs(sin) ** (2 / power),
        ]
    )


def box_mean(fine: Field) -> Field:
    """Return the mean over squares of SUPERSAMPLING x SUPERSAMPLING samples."""
    side = fine.shape[0] // SUPERSAMPLING
    blocks = fine.reshape(side, SUPERSAMPLING, side, SUPERSAMPLING)
    total = blocks[:, 0, :, 0] + blocks[:, 0, :, 1] + blocks[:, 1, :, 0] + blocks[:, 1, :, 1]
    mean: Field = total / np.float32(SUPERSAMPLING**2)
    return mean


@lru_cache(maxsize=8)
def pixel_grid(size: int) -> tuple[Field, Field]:
    """Return the centres of columns (1, size) and rows (size, 1) in units of the field of view."""
    centres = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    return centres[None, :], centres[:, None]


def smooth_noise(cells: int, size: int, rng: np.random.Generator) -> Field:
    """Return unit noise with about ``cells`` lumps a side: one pattern at whatever resolution."""
    lattice = Image.fromarray(rng.standard_normal((cells, cells), np.float32))
    field = np.asarray(lattice.resize((size, size), Image.Resampling.BICUBIC))
    unit: Field = field / (field.std() + np.float32(1e-6))
    return unit


@lru_cache(maxsize=8)
def _circle(points: int) -> tuple[Points, Points]:
    turns = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.cos(turns), np.sin(turns)
