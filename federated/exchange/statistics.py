"""What a hospital tells of its images before anything is trained, and what of it is withheld.

All are counts of images in bins that everybody knows, so that the counts of hospitals add up; only
the greys are shares. A count from 1 to one less than a minimum is withheld (NaN), with others from
which it would follow: complementary suppression (Hundepool et al., Statistical Disclosure Control,
2012, section 4.2). A hospital with fewer images than the
minimum tells nothing at all.
"""

import math
from collections.abc import Mapping, Sequence

EDGES = (128, 256, 384, 512, 768, 1024)
"""Pixels of an image's shorter side: each bin begins with one, the first with 0."""
GREYS, MOST_CLASSES = 16, 32
CLASSES = tuple(f"class_{k}" for k in range(MOST_CLASSES))
SIZES = tuple(f"side_from_{edge}" for edge in (0, *EDGES))
PATIENTS = ("patient_known", "patient_unknown")
GREY = tuple(f"grey_{k}" for k in range(GREYS))
"""Share of pixels in each of 16 steps from black to white, mean over the images."""
ALONE = ("groups", "left_out")
"""Patients, or groups of near-duplicates; files that could not be read. Parts of nothing."""
PARTS = (CLASSES, SIZES, PATIENTS)
"""Counts that add up to the number of images."""
KEY = ("all", "data")
"""Split and model of the report."""

Numbers = Mapping[str, float]


def withheld(numbers: Numbers, minimum: int) -> dict[str, float]:
    """Return an answer without counts that tell of few images; what is withheld already stays so.

    Args:
        numbers: Of one hospital with at least ``minimum`` images.
        minimum: The least count that may leave; 0 leaves as it is.
    """
    told = dict(numbers)
    for part in PARTS:
        names = [name for name in part if name in told]
        kept = suppressed([told[name] for name in names], minimum)
        told |= dict(zip(names, kept, strict=True))
    for name in ALONE:
        if 0 < told.get(name, 0.0) < minimum:
            told[name] = math.nan
    return told


def suppressed(counts: Sequence[float], minimum: int) -> list[float]:
    """Return the counts of a whole that everybody knows, NaN where one would tell of few.

    The largest go along, until one that is gone exceeds all that are told by the minimum. So a
    hidden small count can be one less or one more, and the large one makes up for it; that all who
    know this rule are left in doubt was tried for all small wholes (tests/test_data_statistics.py).
    Of others, such as the smallest, it would often follow which they are.
    """
    gone = {place for place, count in enumerate(counts) if 0 < count < minimum}
    if any(math.isnan(count) for count in counts) or not gone:
        return list(counts)
    rest = sorted((c, p) for p, c in enumerate(counts) if p not in gone)
    largest = -math.inf
    while rest and largest < rest[-1][0] + minimum:
        largest = max(largest, rest[-1][0])
        gone.add(rest.pop()[1])
    return [math.nan if place in gone else count for place, count in enumerate(counts)]
