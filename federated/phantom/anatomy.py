"""One axial section through a healthy synthetic chest.

Lengths are millimetres: x to the patient's left (the right of the image), y to the back (down),
the origin in the middle of the rib cage. The level runs from 0 at the apex of the lungs to 1 at
the domes of the diaphragm.
"""

from dataclasses import dataclass

import numpy as np

from federated.phantom import organs
from federated.phantom.canvas import Canvas, Field, Tissue, box_mean, pixel_grid, smooth_noise
from federated.phantom.chest import Chest, rib_cage
from federated.phantom.vessels import vessel_share

# Mean Hounsfield units as in textbooks (Hofer, CT Teaching Manual) for what does not vary
# between patients; the table's shell and foam as they look in clinical images.
HOUNSFIELD = {
    Tissue.AIR: -1000,
    Tissue.SKIN: 20,
    Tissue.FAT: -100,
    Tissue.MUSCLE: 50,
    Tissue.LUNG: 0,  # its share of the pixel is filled in last, with all that it holds
    Tissue.MEDIASTINUM: -20,
    Tissue.BLOOD: 45,
    Tissue.MARROW: 220,
    Tissue.CORTEX: 650,
    Tissue.AIRWAY: -980,
    Tissue.LIVER: 60,
    Tissue.TABLE: -350,
    Tissue.FOAM: -930,
}


@dataclass(frozen=True)
class Section:
    """A section whose lungs are kept apart, so that disease can be put into them.

    Attributes:
        x: mm of the columns, (1, R) with R the side in pixels.
        y: mm of the rows, (R, 1).
        radii: half the inner width and depth of the rib cage here, mm.
        solid: HU of all that is not lung times its share of the pixel, (R, R).
        air: share of the pixel that is lung, (R, R).
        parenchyma: HU of the lung between its vessels, (R, R).
        vessels: share of the lung that is blood, (R, R).
        blood: HU of the blood.
    """

    x: Field
    y: Field
    radii: tuple[float, float]
    solid: Field
    air: Field
    parenchyma: Field
    vessels: Field
    blood: float

    def hounsfield(self, parenchyma: Field) -> Field:
        """Return the section in HU, (R, R), with this tissue between the vessels of its lungs."""
        blood = np.float32(self.blood)
        return self.solid + self.air * (parenchyma + self.vessels * (blood - parenchyma))


def render_section(chest: Chest, level: float, size: int, rng: np.random.Generator) -> Section:
    """Return the section of a chest at a level as size x size pixels."""
    radii = rib_cage(chest, level)
    labels = _paint(chest, level, size, rng).labels()
    table = np.array([HOUNSFIELD[tissue] for tissue in Tissue], np.float32)
    table[Tissue.BLOOD] = chest.blood
    x, y = (axis * np.float32(chest.view) for axis in pixel_grid(size))
    gravity = np.float32(chest.lung) + np.float32(chest.gravity / 2 / radii[1]) * y
    return Section(
        x=x,
        y=y,
        radii=radii,
        solid=box_mean(table[labels]),
        air=box_mean((labels == Tissue.LUNG).astype(np.float32)),
        parenchyma=gravity + np.float32(14) * smooth_noise(40, size, rng),
        vessels=vessel_share(chest, level, size, rng),
        blood=chest.blood,
    )


def _paint(chest: Chest, level: float, size: int, rng: np.random.Generator) -> Canvas:
    canvas = Canvas(size, chest.view)
    organs.paint_wall(canvas, chest, level, rng)
    organs.paint_mediastinum(canvas, chest, level)
    organs.paint_airways(canvas, chest, level)
    organs.paint_spine(canvas, chest, rib_cage(chest, level)[1])
    organs.paint_abdomen(canvas, chest, level)
    return canvas
