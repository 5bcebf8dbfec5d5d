"""The virtual clock: hours that messages and training take, computed from bytes and images.

Nothing is measured on the machine that simulates: a hospital's training time is its images seen
times ``rollout.image-seconds`` over its speed, its transfer time the real bytes over its link.
"""

from dataclasses import dataclass

from federated.config.rollout import Calendar

EVALUATION_SHARE = 1 / 3
"""A forward pass costs about a third of a training step's forward and backward passes."""


@dataclass(frozen=True)
class Trip:
    """One order from the server to a hospital and back; hours since week 0.

    ``start`` to ``down`` the weights travel, to ``done`` the hospital computes, to ``arrival`` the
    answer travels.
    """

    start: float
    down: float
    done: float
    arrival: float


def transfer_hours(n_bytes: float, mbit_per_second: float, latency: float) -> float:
    """Return the hours that a message takes; one without tensors is not counted.

    Args:
        n_bytes: Bytes of tensors, as serialised.
        mbit_per_second: Bandwidth, 10^6 bit/s; 0 means without limit.
        latency: Seconds besides.
    """
    if not n_bytes:
        return 0.0
    seconds = n_bytes * 8 / (mbit_per_second * 1e6) if mbit_per_second else 0.0
    return (seconds + latency) / 3600


def trip(
    calendar: Calendar,
    image_seconds: float,
    *,
    start: float,
    bytes_down: float,
    images: float,
    bytes_up: float,
) -> Trip:
    """Return when a hospital has the weights, has computed, and has its answer delivered.

    Args:
        calendar: Its speed and link.
        image_seconds: Seconds for an image at speed 1.
        start: When the server sends, hours.
        bytes_down: Bytes to it.
        images: Images it computes on, counted once for each time it sees one.
        bytes_up: Bytes from it.
    """
    down = start + transfer_hours(bytes_down, calendar.downlink, calendar.latency)
    done = down + images * image_seconds / calendar.speed / 3600
    return Trip(
        start, down, done, done + transfer_hours(bytes_up, calendar.uplink, calendar.latency)
    )
