"""The lung's vessels in one section: trees that leave it, and dots that cross it."""

import numpy as np
from PIL import Image, ImageDraw

from federated.phantom.canvas import SUPERSAMPLING, Field, Points, box_mean
from federated.phantom.chest import Chest, bump, rib_cage

GENERATIONS = 5
SLICE = 2.5  # mm above and below the section within which a vessel shows
THINNEST = 0.25  # mm that still leave a trace


def vessel_share(chest: Chest, level: float, size: int, rng: np.random.Generator) -> Field:
    """Return the share of each pixel that is blood in small vessels, (size, size)."""
    side = size * SUPERSAMPLING
    scale = side / chest.view
    image = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(image)
    for lung in (-1, 1):
        for start, end, width in _tree(chest, level, lung, rng):
            ends = [*(start * scale + side / 2).tolist(), *(end * scale + side / 2).tolist()]
            pixels = width * scale
            # A line cannot be thinner than a sample: a thinner vessel is a fainter one.
            draw.line(ends, fill=int(255 * min(1.0, pixels)), width=max(1, round(pixels)))
    _draw_crossings(draw, chest, level, scale, rng)
    return box_mean(np.asarray(image, np.float32)) / np.float32(255)


def _tree(
    chest: Chest, level: float, lung: int, rng: np.random.Generator
) -> list[tuple[Points, Points, float]]:
    """Return (start, end, width in mm) of the pieces of a lung's tree that show."""
    rx, ry = rib_cage(chest, level)
    near = bump(level, 0.52, 0.2)  # the hilum feeds the whole lung from here
    count = max(2, round((3 + 2 * near) * chest.vascularity))
    tips = np.tile([lung * 0.3 * rx, 0.08 * ry], (count, 1)) + rng.normal(0, 7, (count, 2))
    turns = np.linspace(-1.25, 1.35, count) + rng.normal(0, 0.2, count)
    heights = rng.normal(0, 3 + 6 * (1 - near), count)
    widths = np.full(count, 2.5 + 2.2 * near)
    pieces = []
    for generation in range(GENERATIONS):
        length = (19 - 2.2 * generation) * rng.uniform(0.6, 1.3, len(tips))
        step = np.column_stack([lung * np.cos(turns), np.sin(turns)]) * length[:, None]
        ends = tips + step
        heights = heights + rng.normal(0, 0.36, len(tips)) * length
        # A vessel that leaves the section is cut farther from its middle: it narrows.
        seen = widths * np.exp(-((heights / (SLICE + widths / 2)) ** 2))
        pieces += [piece for piece in zip(tips, ends, seen, strict=True) if piece[2] > THINNEST]
        fork = rng.uniform(0.2, 0.55, len(ends))
        turns = np.concatenate([turns + fork, turns - 0.8 * fork])
        tips, heights = np.tile(ends, (2, 1)), np.tile(heights, 2)
        widths = np.tile(widths * 0.74, 2)
    return pieces


def _draw_crossings(
    draw: ImageDraw.ImageDraw,
    chest: Chest,
    level: float,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Draw vessels that run through the section: dots, finer towards the pleura."""
    rx, ry = rib_cage(chest, level)
    count = round(110 * chest.vascularity)
    distance, turns = np.sqrt(rng.uniform(0.06, 0.9, count)), rng.uniform(0, 2 * np.pi, count)
    radii = (2.6 - 2.1 * distance) * rng.uniform(0.4, 1.0, count)
    middle = scale * chest.view / 2
    columns = middle + scale * rx * distance * np.cos(turns)
    rows = middle + scale * ry * distance * np.sin(turns)
    for x, y, radius in zip(columns, rows, radii * scale, strict=True):
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill=int(255 * min(1.0, radius)))
