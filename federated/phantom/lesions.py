"""Disease in the lungs of a section: COVID-19 and what may be mistaken for it.

A patient has findings, placed in three dimensions, so that neighbouring sections show the same
ones. COVID-19 is ground-glass, consolidation and crazy paving, mostly peripheral, posterior and
bilateral (Salehi et al. 2020, AJR 215:87; Zhao et al. 2020, AJR 214:1072); the others are the
common confounders of its reading.
"""

from dataclasses import dataclass, replace

import numpy as np

from federated.phantom.anatomy import Section
from federated.phantom.canvas import Field, exactly, smooth_noise


@dataclass(frozen=True)
class Texture:
    """How a kind of finding shows.

    Attributes:
        target: HU that it draws the lung towards.
        edge: width of its border relative to its size.
        rough: how ragged the border is.
        mesh: strength of thickened septa within it (crazy paving), or of open bronchi if negative.
    """

    target: float
    edge: float
    rough: float
    mesh: float


TEXTURES = {
    "ground-glass": Texture(target=30, edge=0.7, rough=0.45, mesh=0.0),
    "crazy-paving": Texture(target=30, edge=0.5, rough=0.4, mesh=0.7),
    "consolidation": Texture(target=40, edge=0.35, rough=0.45, mesh=-0.2),
    "nodule": Texture(target=50, edge=0.25, rough=0.1, mesh=0.0),
    "bulla": Texture(target=-1000, edge=0.6, rough=0.3, mesh=0.0),
    "lobar": Texture(target=40, edge=0.3, rough=0.4, mesh=-0.2),
    "lobar-haze": Texture(target=30, edge=0.7, rough=0.4, mesh=0.0),
    "effusion": Texture(target=12, edge=0.0, rough=0.0, mesh=0.0),
    "dependent": Texture(target=30, edge=0.0, rough=0.0, mesh=0.0),
}
INFECTED = ("ground-glass", "crazy-paving", "consolidation")
SHEETS = ("effusion", "dependent")


@dataclass(frozen=True)
class Finding:
    """One lesion, or one sheet of fluid or collapsed lung along the back.

    Attributes:
        kind: a key of TEXTURES.
        turn: direction from the middle of the chest, radians; 0 left, pi/2 back, pi right.
        distance: 0 at the middle of the chest, 1 at the pleura.
        level: where along the body it is widest.
        reach: half its height, in levels.
        radii: half its extent along and across the pleura, mm; a sheet's second is its depth.
        opacity: 0 leaves the lung as it is, 1 replaces it by the target.
    """

    kind: str
    turn: float
    distance: float
    level: float
    reach: float
    radii: tuple[float, float]
    opacity: float


def infect(
    section: Section, findings: tuple[Finding, ...], level: float, rng: np.random.Generator
) -> tuple[Field, float]:
    """Return the lung tissue with all findings in it and the infected share of the lungs.

    Args:
        section: the healthy section.
        findings: the patient's findings; if COVID-19 is among them, the section shows some.
        level: where the section lies.
        rng: generator of the texture.

    Returns:
        Parenchyma in HU, (R, R), and the share of lung covered by INFECTED findings in [0, 1].
    """
    size = len(section.parenchyma)
    coarse, fine = smooth_noise(16, size, rng), smooth_noise(56, size, rng)
    tissue = section.parenchyma.copy()
    covered = np.zeros_like(tissue)
    for finding in _crossing(findings, level):
        look = TEXTURES[finding.kind]
        window = _window(section, finding)
        cover = _cover(section, finding, (coarse, fine), window)
        texture = _texture(look, fine[window])
        strength = np.clip(np.float32(finding.opacity) * cover * texture, 0, 1)
        tissue[window] += strength * (np.float32(look.target) - tissue[window])
        if finding.kind in INFECTED:
            covered[window] = np.maximum(covered[window], cover)
    lung = float(section.air.sum())
    return tissue, float((covered * section.air).sum()) / max(lung, 1.0)


def _crossing(findings: tuple[Finding, ...], level: float) -> tuple[Finding, ...]:
    """Return the findings that a level cuts, each as large as it is there.

    Infection always shows: where no lesion reaches, the nearest one is cut near its rim.
    """
    cut = tuple(_cut(one, level) for one in findings if abs(one.level - level) < one.reach)
    sick = [one for one in findings if one.kind in INFECTED]
    if sick and not any(one.kind in INFECTED for one in cut):
        nearest = min(sick, key=lambda one: abs(one.level - level) - one.reach)
        cut += (_scaled(nearest, 0.7),)
    return cut


def _cut(finding: Finding, level: float) -> Finding:
    offset = (finding.level - level) / finding.reach
    return _scaled(finding, max(0.45, float(np.sqrt(1 - offset * offset))))


def _scaled(finding: Finding, factor: float) -> Finding:
    along, across = finding.radii
    return replace(finding, radii=(along * factor, across * factor))


def _window(section: Section, finding: Finding) -> tuple[slice, slice]:
    """Return the rows and columns that a finding can touch."""
    if finding.kind in SHEETS:
        return slice(None), slice(None)
    x, y = _anchor(section, finding)
    reach = 1.6 * max(finding.radii) + 1.5 * float(section.x[0, 1] - section.x[0, 0])
    rows = np.searchsorted(section.y[:, 0], [y - reach, y + reach])
    columns = np.searchsorted(section.x[0], [x - reach, x + reach])
    return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def _anchor(section: Section, finding: Finding) -> tuple[float, float]:
    """Return the middle of a lesion in mm: the lung nearest to where it ought to be."""
    x = section.radii[0] * finding.distance * np.cos(finding.turn)
    y = section.radii[1] * finding.distance * np.sin(finding.turn)
    step = max(1, len(section.y) // 56)
    rows, columns = section.y[::step], section.x[:, ::step]
    away = (columns - x) ** 2 + (rows - y) ** 2 + 1e6 * (section.air[::step, ::step] < 0.9)
    row, column = np.unravel_index(int(np.argmin(away)), away.shape)
    return float(columns[0, column]), float(rows[row, 0])


def _cover(
    section: Section,
    finding: Finding,
    noise: tuple[Field, Field],
    window: tuple[slice, slice],
) -> Field:
    """Return where a finding is, 0 to 1, within its window; noise makes its border ragged."""
    coarse, fine = noise
    look = TEXTURES[finding.kind]
    if finding.kind in SHEETS:
        return _sheet(section, finding, coarse)
    x, y = _anchor(section, finding)
    rows, columns = section.y[window[0]] - np.float32(y), section.x[:, window[1]] - np.float32(x)
    cos, sin = np.float32(np.cos(finding.turn)), np.float32(np.sin(finding.turn))
    along, across = finding.radii
    inwards = (columns * cos + rows * sin) / np.float32(across)
    sideways = (rows * cos - columns * sin) / np.float32(along)
    ragged = np.float32(0.55) * coarse[window] + np.float32(0.25) * fine[window]
    far = np.sqrt(inwards**2 + sideways**2) + np.float32(look.rough) * ragged
    cover: Field = np.clip((1 - far) / np.float32(look.edge) + np.float32(0.5), 0, 1)
    return cover


def _sheet(section: Section, finding: Finding, coarse: Field) -> Field:
    """Return a layer along the back of one side, 0 to 1: fluid with its meniscus, or collapse."""
    side = np.sign(np.cos(finding.turn))
    rx, ry = section.radii
    across: Field = np.clip(section.x * np.float32(side / rx), -1, 1)
    # The back wall curves forwards to the side; collapse follows it, fluid also lies level.
    wall = np.float32(ry) * (1 - np.float32(0.45) * (across - np.float32(0.35)) ** 2)
    depth = np.float32(finding.radii[1])
    soft = np.float32(3 if finding.kind == "effusion" else 0.5 * finding.radii[1])
    ragged = coarse * np.float32(1 if finding.kind == "effusion" else 0.3 * finding.radii[1])
    inside: Field = np.clip((section.y - wall + depth + ragged) / soft, 0, 1)
    inside[:, section.x[0] * side < 0] = 0
    return inside


def _texture(look: Texture, fine: Field) -> Field:
    """Return the pattern within a finding, around 1."""
    base = 1 + np.float32(0.12) * fine
    if not look.mesh:
        return base
    # The zero crossings of smooth noise form a net.
    ridges = exactly(np.exp, -(fine * fine) / np.float32(0.09))
    return base + np.float32(look.mesh) * ridges
