"""What a synthetic patient has: findings drawn by disease and difficulty."""

from collections.abc import Callable

import numpy as np

from federated.phantom.lesions import INFECTED, Finding

PLAIN, SUBTLE = 1.5, 0.5  # factor of a COVID lesion's opacity at difficulty 0 and 1
LARGE, SMALL = 1.2, 0.75  # and of its size


def contrast(difficulty: float) -> float:
    """Return the factor of the opacity of COVID lesions; it falls with difficulty."""
    return PLAIN + (SUBTLE - PLAIN) * difficulty


def confounded(difficulty: float) -> float:
    """Return the share of patients without COVID who have something else; it rises."""
    return 0.15 + 0.7 * difficulty


def draw_findings(covid: bool, difficulty: float, rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return all that a patient has.

    The same draws are made at every difficulty, so that the dial alone changes a patient.
    """
    share = confounded(difficulty)
    illness, accident = rng.random(), rng.random()
    found = covid_pneumonia(difficulty, rng) if covid else ()
    other = CONFOUNDERS[int(rng.integers(len(CONFOUNDERS)))](rng)
    if not covid and illness < share:
        found += other
    # What has nothing to do with the label is as common in both classes.
    by_the_way = BYSTANDERS[int(rng.integers(len(BYSTANDERS)))](rng)
    return found + by_the_way if accident < 0.5 * share else found


def covid_pneumonia(difficulty: float, rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return lesions of COVID-19: from a few faint ones to many dense ones."""
    severity = rng.beta(1.2, 2.0)
    first = rng.choice([-1, 1])
    size = LARGE + (SMALL - LARGE) * difficulty
    mix = (0.65 - 0.3 * severity, 0.2, 0.15 + 0.3 * severity)
    found = []
    for number in range(4 + int(12 * severity)):
        kind = str(rng.choice(INFECTED, p=mix))
        side = first * (-1) ** number if rng.random() < 0.85 else first
        dense = rng.uniform(0.6, 0.95) if kind == "consolidation" else rng.uniform(0.25, 0.55)
        along = (18 + 20 * severity) * rng.uniform(0.6, 1.4) * size
        found.append(
            Finding(
                kind=kind,
                turn=_turn(side, rng.normal(0.65, 0.45)),
                distance=1.1 - abs(rng.normal(0, 0.2)),
                level=rng.beta(2.2, 1.6),
                reach=rng.uniform(0.15, 0.4),
                radii=(along, along * rng.uniform(0.45, 0.8)),
                opacity=min(1.0, dense * contrast(difficulty)),
            )
        )
    return tuple(found)


def nodules(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return one to eight solid round nodules anywhere."""
    return tuple(
        _blob("nodule", rng, radius=rng.uniform(3, 11), opacity=rng.uniform(0.8, 1.0))
        for _ in range(1 + rng.geometric(0.3))
    )


def lobar_pneumonia(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return one large dense area on one side, with a haze around it."""
    side, turn, level = rng.choice([-1, 1]), rng.uniform(-0.9, 0.9), rng.uniform(0.25, 0.85)
    radius, distance = rng.uniform(24, 42), rng.uniform(0.55, 0.85)
    place = {"turn": _turn(side, turn), "distance": distance, "level": level, "reach": 0.5}
    core = (radius, 0.8 * radius)
    return (
        Finding("lobar-haze", radii=(1.4 * radius, radius), opacity=rng.uniform(0.2, 0.4), **place),
        Finding("lobar", radii=core, opacity=rng.uniform(0.5, 0.95), **place),
    )


def effusion(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return fluid behind one or both lungs, with collapsed lung before it."""
    sides = [-1, 1] if rng.random() < 0.5 else [rng.choice([-1, 1])]
    depth = rng.uniform(12, 45)
    return tuple(
        Finding(kind, _turn(side, 0.8), 1.0, 0.9, 0.8, (1.0, thick), opacity)
        for side in sides
        for kind, thick, opacity in (("dependent", depth + 9, 0.4), ("effusion", depth, 1.0))
    )


def oedema(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return haze around both hila, the mirror image of where COVID-19 prefers to be."""
    opacity, radius = rng.uniform(0.2, 0.45), rng.uniform(22, 36)
    return tuple(
        Finding(
            "lobar-haze",
            _turn(side, rng.normal(0.1, 0.25)),
            rng.uniform(0.4, 0.55),
            rng.uniform(0.45, 0.65),
            0.6,
            (radius * rng.uniform(0.8, 1.2), 0.7 * radius),
            opacity,
        )
        for side in (-1, -1, 1, 1)
    )


def dependent_density(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return the thin grey layer at the back of a patient who did not breathe in deeply."""
    thick, opacity = rng.uniform(8, 20), rng.uniform(0.15, 0.4)
    return tuple(
        Finding(
            "dependent",
            _turn(side, 0.8),
            1.0,
            0.6,
            0.9,
            (1.0, thick * rng.uniform(0.7, 1.3)),
            opacity,
        )
        for side in (-1, 1)
    )


def emphysema(rng: np.random.Generator) -> tuple[Finding, ...]:
    """Return many holes, mostly in the upper halves."""
    return tuple(
        _blob("bulla", rng, radius=rng.uniform(4, 13), opacity=rng.uniform(0.6, 1.0))
        for _ in range(int(rng.integers(20, 60)))
    )


Draw = Callable[[np.random.Generator], tuple[Finding, ...]]
CONFOUNDERS: tuple[Draw, ...] = (
    nodules,
    lobar_pneumonia,
    effusion,
    oedema,
    dependent_density,
    emphysema,
)
BYSTANDERS: tuple[Draw, ...] = (nodules, dependent_density, emphysema)


def _turn(side: int, back: float) -> float:
    """Return the direction ``back`` radians behind the side: -1 the right lung, 1 the left."""
    return back if side > 0 else float(np.pi) - back


def _blob(kind: str, rng: np.random.Generator, *, radius: float, opacity: float) -> Finding:
    return Finding(
        kind=kind,
        turn=rng.uniform(0, 2 * np.pi),
        distance=rng.uniform(0.4, 0.95),
        level=rng.uniform(0, 0.9),
        reach=0.12 + radius / 150,
        radii=(radius, radius * rng.uniform(0.8, 1.0)),
        opacity=opacity,
    )
