"""Painting a chest section from the outside in: wall, mediastinum, abdomen, spine, airways.

The proportions are those of adult axial CT: the carina at 0.4 of the lung's height, the heart
below it, the domes of the diaphragm at the base with the right one higher.
"""

import numpy as np

from federated.phantom.canvas import Canvas, Points, Tissue, superellipse
from federated.phantom.chest import Chest, bump, rib_cage

CARINA = 0.4  # level at which the windpipe divides


def paint_wall(canvas: Canvas, chest: Chest, level: float, rng: np.random.Generator) -> None:
    """Paint table, skin, fat, muscle, shoulder blades, ribs and breastbone, lung inside."""
    rx, ry = rib_cage(chest, level)
    body_x = chest.width + chest.muscle + chest.fat
    outline = superellipse(body_x, chest.depth + chest.muscle + 0.8 * chest.fat, power=2.5)
    outline[:, 1] += np.where(outline[:, 1] > 0, 6.0, 0.0)  # the muscles of the back
    if level > 0.3:
        breasts = np.exp(-(((np.abs(outline[:, 0]) - 0.55 * body_x) / 38) ** 2))
        outline[:, 1] -= np.where(outline[:, 1] < 0, chest.breast * breasts, 0.0)
    _paint_table(canvas, float(outline[:, 1].max()) + chest.table)
    canvas.polygon(outline, Tissue.SKIN)
    canvas.polygon(outline * (1 - 2.5 / body_x), Tissue.FAT)
    canvas.polygon(superellipse(rx + chest.muscle, ry + chest.muscle, power=2.3), Tissue.MUSCLE)
    for side in (-1, 1):
        _paint_muscles(canvas, side, chest, level)
    _paint_ribs(canvas, (rx + 7, ry + 7), level, rng)
    canvas.bone((0, -ry - 8), (17 + 8 * (level < 0.25), 6.5))
    for side in (-1, 1):
        canvas.polygon(_lung_outline(side, rx, ry, rng), Tissue.LUNG)


def paint_mediastinum(canvas: Canvas, chest: Chest, level: float) -> None:
    """Paint the partition between the lungs, the heart and the great vessels."""
    ry = rib_cage(chest, level)[1]
    waist = 17 + 12 * bump(level, 0.15, 0.4)
    front = 4 + 16 * bump(level, 0.0, 0.2) + 8 * bump(level, 0.75, 0.25)
    right = [(-front, -ry), (-front - 2, -0.75 * ry), (-waist, -0.25 * ry), (-waist + 4, 0.7 * ry)]
    left = [(waist - 4, 0.7 * ry), (waist + 3, -0.25 * ry), (front + 4, -0.75 * ry), (front, -ry)]
    canvas.polygon(np.array(right + left), Tissue.MEDIASTINUM)
    for place, radii in _great_vessels(chest, level, ry):
        canvas.ellipse(place, (radii[0] + 4, radii[1] + 4), Tissue.MEDIASTINUM)
        canvas.ellipse(place, radii, Tissue.BLOOD)
    if level > 0.45:
        grown = chest.heart * float(np.clip(0.55 + 1.6 * (level - 0.45), 0.55, 1.0))
        wide, deep = 0.45 * chest.width * grown, 0.62 * chest.depth * grown
        place = (chest.lean * grown, -0.93 * ry + deep)
        canvas.ellipse(place, (wide + 5, deep + 3), Tissue.MEDIASTINUM, turn=-0.35)
        canvas.ellipse(place, (wide, deep), Tissue.BLOOD, turn=-0.35)


def paint_abdomen(canvas: Canvas, chest: Chest, level: float) -> None:
    """Paint the domes of the diaphragm: liver on the right, spleen and stomach on the left."""
    rx, ry = rib_cage(chest, level)
    for side, top in ((-1, 0.76), (1, 0.83)):
        if level > top:
            grown = float(np.sqrt((level - top) / (1 - top)))
            place = (side * 0.46 * rx, -0.12 * ry)
            canvas.ellipse(place, (0.5 * rx * grown, 0.8 * ry * grown), Tissue.LIVER)
    if level > 0.9:
        canvas.ellipse((0.45 * rx, -0.45 * ry), (17, 10), Tissue.AIRWAY)


def paint_spine(canvas: Canvas, chest: Chest, depth: float) -> None:
    """Paint a vertebra with its canal and arch, and the soft tissue beside it."""
    half, middle = chest.spine, 0.77 * depth
    beside = [(-half - 3, middle - 12), (half + 3, middle - 12), (half + 16, depth + 4)]
    canvas.polygon(np.array([*beside, (-half - 16, depth + 4)]), Tissue.MUSCLE)
    for side in (-1, 1):
        arm = np.array([(side * 11, middle + half + 2), (side * 38, middle + half + 13)])
        canvas.line(arm, 9, Tissue.CORTEX)
        canvas.line(arm, 5, Tissue.MARROW)
    canvas.bone((0, middle), (half, 0.82 * half))
    arch = middle + half + 6
    canvas.line(np.array([(-9, arch), (0, arch + 10), (9, arch)]), 6, Tissue.CORTEX)
    canvas.line(np.array([(0, arch + 8), (0, arch + 26)]), 7, Tissue.CORTEX)
    canvas.ellipse((0, arch - 1), (9, 7.5), Tissue.MUSCLE)


def paint_airways(canvas: Canvas, chest: Chest, level: float) -> None:
    """Paint gullet, windpipe above the carina and the bronchi below it."""
    _, ry = rib_cage(chest, level)
    canvas.ellipse((4, 0.38 * ry), (6, 5), Tissue.MUSCLE)
    if level < CARINA:
        _paint_airway(canvas, (-2, 0.12 * ry), (8.5, 9.5 - 2 * level))
        return
    below = level - CARINA
    for side in (-1, 1):
        apart = side * min(11 + 190 * below, 33 + 60 * below)
        radius = max(2.4, 8.0 - 18 * below)
        _paint_airway(canvas, (apart, (0.14 + 0.35 * below) * ry), (radius * 1.15, radius))
        if 0.08 < below < 0.35:
            _paint_airway(canvas, (apart + side * 12, (0.02 + below) * ry), (3.2, 3.2))


def _paint_airway(canvas: Canvas, place: tuple[float, float], radii: tuple[float, float]) -> None:
    canvas.ellipse(place, (radii[0] + 1.8, radii[1] + 1.8), Tissue.MUSCLE)
    canvas.ellipse(place, radii, Tissue.AIRWAY)


def _great_vessels(
    chest: Chest, level: float, depth: float
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return centres and radii in mm of the vessels that cross a level."""
    aorta = chest.aorta
    found: list[tuple[tuple[float, float], tuple[float, float]]] = []
    if level < 0.24:  # the branches of the arch and the veins beside them
        found += [((x, -0.2 * depth + abs(x) * 0.5), (6.0, 6.0)) for x in (-22.0, -8.0, 10.0, 22.0)]
    elif level < 0.33:
        found += [((8.0, -0.12 * depth), (0.9 * aorta + 7, 1.9 * aorta))]
    else:
        found += [((chest.spine + 7, 0.5 * depth), (aorta * 0.95, aorta * 0.95))]
    if 0.33 <= level < 0.55:  # ascending aorta, pulmonary trunk and its branches, upper vein
        found += [((-10, -0.3 * depth), (aorta + 3, aorta + 3)), ((20, -0.28 * depth), (14, 17))]
        found += [((-29, -0.1 * depth), (8.0, 9.0)), ((-24, 0.05 * depth), (20.0, 8.0))]
    return found


def _lung_outline(side: int, rx: float, ry: float, rng: np.random.Generator) -> Points:
    """Return one lung, before heart and spine are painted over it: tall, leaning outwards."""
    turns = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waves = [rng.normal(0, 0.012) * np.cos(k * turns + rng.uniform(0, 6.28)) for k in (2, 3, 4)]
    lung: Points = superellipse(0.56 * rx, ry, power=2.2) * (1 + sum(waves, np.zeros(96)))[:, None]
    # The back of a lung is farther from the middle than its front.
    lung[:, 0] += side * rx * (0.42 + 0.05 * np.sin(turns))
    return lung


def _paint_table(canvas: Canvas, top: float) -> None:
    across = np.linspace(-260, 260, 40)
    curve = np.column_stack([across, top - (across / 260) ** 2 * 55])
    canvas.line(curve + np.array([0, 10]), 16, Tissue.FOAM)
    canvas.line(curve + np.array([0, 3]), 2.5, Tissue.TABLE)
    canvas.line(curve + np.array([0, 18]), 2.5, Tissue.TABLE)


def _paint_muscles(canvas: Canvas, side: int, chest: Chest, level: float) -> None:
    rx, ry = rib_cage(chest, level)
    canvas.ellipse((side * 34, ry + 13), (30, 15), Tissue.MUSCLE)
    if level < 0.55:
        canvas.ellipse((side * 0.55 * rx, -ry * 0.86), (42, 13), Tissue.MUSCLE, turn=side * 0.4)
        start, end = (side * 0.5 * rx, ry * 0.95 + 12), (side * (rx + 10), 0.3 * ry)
        bend = (side * (0.85 * rx + 8), 0.78 * ry + 8)
        blade = np.array([start, bend, end])
        canvas.line(blade, 19, Tissue.MUSCLE)
        canvas.line(blade, 6, Tissue.CORTEX)
        canvas.line(blade, 3, Tissue.MARROW)


def _paint_ribs(
    canvas: Canvas, radii: tuple[float, float], level: float, rng: np.random.Generator
) -> None:
    """Paint pieces of ribs: they run obliquely through a section, so that a piece is an arc."""
    phase = (level * 3.7) % 1.0
    for side in (-1, 1):
        for number in range(5):
            middle = -1.0 + 0.52 * (number + phase) + rng.normal(0, 0.05)
            turns = middle + np.linspace(-0.5, 0.5, 8) * rng.uniform(0.2, 0.42)
            cos, sin = np.cos(turns), np.sin(turns)
            x = side * radii[0] * np.abs(cos) ** 0.89 * np.sign(cos)
            arc = np.column_stack([x, radii[1] * np.sign(sin) * np.abs(sin) ** 0.89])
            canvas.line(arc, 8, Tissue.CORTEX)
            canvas.line(arc[1:-1], 4.5, Tissue.MARROW)
