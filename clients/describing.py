"""What a hospital tells of its data before anything is trained: noise first, then what is few."""

import numpy as np

from clients.protection import noise_key
from clients.site import Site
from federated.data import load_entry
from federated.data.described import described
from federated.dp.counts import noised, shares_of
from federated.dp.stream import Stream
from federated.exchange.statistics import ALONE, CLASSES, GREY, KEY, PARTS, withheld
from federated.exchange.wire import Order, Report

SHARES = len(PARTS) + len(ALONE) + 1
"""Into how many the budget is divided: parts of the whole, lone counts, and greys."""


def told(site: Site, order: Order, *, alone: bool) -> Report:
    """Return a hospital's answer; with fewer images than the minimum it tells nothing.

    Args:
        site: Whose images.
        order: Of the server.
        alone: Whether the data is this hospital's own.
    """
    asked = site.config.statistics
    entry, left_out = load_entry(site.config, site.name, alone=alone)
    numbers, images = described(entry, left_out, site.config.data.class_count), len(entry.rows)
    if asked.epsilon:
        # Of its own for each budget: the same noise at two scales would give the counts away.
        bound = repr((asked.epsilon, sorted(numbers.items()))).encode()
        key = noise_key(site, order, "statistics", bound)
        numbers = with_noise(numbers, images, asked.epsilon, Stream(key))
        images = int(sum(numbers[name] for name in CLASSES if name in numbers))
    if images < asked.minimum:
        return Report(site.name, *KEY, 0, {})
    numbers = withheld(numbers, asked.minimum)
    return Report(site.name, *KEY, images, numbers)


def with_noise(
    numbers: dict[str, float], images: int, epsilon: float, stream: Stream
) -> dict[str, float]:
    """Return an answer that is ``epsilon``-DP for one image more or less, and its budget."""
    share, made = epsilon / SHARES, dict(numbers)
    for part in (*PARTS, *((name,) for name in ALONE)):
        names = [name for name in part if name in made]
        made |= dict(zip(names, noised([made[n] for n in names], share, stream), strict=True))
    sums = np.array([made[name] * images for name in GREY])
    made |= dict(zip(GREY, shares_of(sums, share, stream), strict=True))
    return {**made, "epsilon": epsilon}
