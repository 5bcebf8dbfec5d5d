"""What all sections of a synthetic patient have in common."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chest:
    """The anatomy of one adult, in millimetres and Hounsfield units.

    Attributes:
        width: half the inner width of the rib cage, mm.
        depth: half its inner depth, mm.
        fat: thickness of the fat under the skin, mm.
        muscle: thickness of the chest wall without fat, mm.
        breast: height of the breasts above the chest wall, mm.
        heart: size of the heart relative to the mean.
        lean: how far the heart lies to the left, mm.
        aorta: radius of the aorta, mm.
        spine: half the width of a vertebral body, mm.
        lung: density of the healthy lung, HU.
        gravity: how much denser the lung is at the back than at the front, HU.
        blood: density of blood, with or without contrast medium, HU.
        vascularity: how many vessels show, relative to the mean.
        view: side of the field of view, mm.
        table: gap between back and table, mm.
    """

    width: float
    depth: float
    fat: float
    muscle: float
    breast: float
    heart: float
    lean: float
    aorta: float
    spine: float
    lung: float
    gravity: float
    blood: float
    vascularity: float
    view: float
    table: float


def draw_chest(rng: np.random.Generator) -> Chest:
    """Return the anatomy of a random adult."""
    width = rng.normal(128, 9)
    fat = 5 + rng.gamma(2.0, 5.0)
    muscle = rng.uniform(15, 21)
    enhanced = rng.random() < 0.25
    return Chest(
        width=width,
        depth=width * rng.uniform(0.72, 0.88),
        fat=fat,
        muscle=muscle,
        breast=float(rng.random() < 0.5) * rng.uniform(8, 32),
        heart=rng.normal(1.0, 0.09),
        lean=rng.uniform(4, 18),
        aorta=rng.uniform(11, 16),
        spine=rng.uniform(15, 19),
        lung=rng.normal(-855, 25),
        gravity=rng.uniform(10, 80),
        blood=rng.uniform(130, 260) if enhanced else rng.uniform(35, 55),
        vascularity=rng.uniform(0.75, 1.3),
        view=2 * (width + muscle + fat) * rng.uniform(0.86, 1.08),
        table=rng.uniform(2, 14),
    )


def rib_cage(chest: Chest, level: float) -> tuple[float, float]:
    """Return half the inner width and depth of the rib cage at a level, in mm."""
    opening = float(np.sin(np.pi / 2 * min(1.0, level / 0.5)))
    return chest.width * (0.58 + 0.42 * opening), chest.depth * (0.66 + 0.34 * opening)


def bump(level: float, middle: float, spread: float) -> float:
    """Return 1 at the middle, falling to 0 like a Gaussian: where along the body a thing is."""
    return float(np.exp(-(((level - middle) / spread) ** 2)))
