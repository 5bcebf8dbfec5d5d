"""The settings of a rollout, and what a scenario says of a hospital."""

from dataclasses import dataclass

from federated.config.fields import setting

MOMENT = "week number, `round N`, or a date"
WINDOWS = "comma-separated weeks such as `10-12,30`, or intervals of dates such as `A/B`"


@dataclass(frozen=True)
class Rollout:
    """Virtual time, round policies, and how newcomers join."""

    scenario: str = setting(
        "", "file with the hospitals' calendars; empty: the [rollout.*] tables beside this"
    )
    start: str = setting("", "date of week 0, such as 2026-01-05, for dates in the scenario")
    rounds_per_week: float = setting(
        1.0,
        "slots for rounds; a round begins at its slot or when the one before has ended",
        low=0.01,
    )
    image_seconds: float = setting(
        0.0,
        "virtual seconds that a hospital of speed 1 needs to train on one image; a third of it to "
        "evaluate one",
        low=0,
    )
    policy: str = setting(
        "wait",
        "whose updates make a round: wait (all), deadline, fedbuff (the first `buffer` to arrive), "
        "fedasync (each by itself)",
        choices=("wait", "deadline", "fedbuff", "fedasync"),
    )
    deadline_hours: float = setting(24.0, "hours after which a round of deadline ends", low=0)
    late: str = setting(
        "drop",
        "what becomes of an update that comes too late",
        choices=("drop", "next-round"),
    )
    select: int = setting(
        0, "hospitals that make a round, drawn at random; 0: all that are present", low=0
    )
    spare: int = setting(
        0, "hospitals asked beyond `select` (over-selection); the first to arrive count", low=0
    )
    buffer: int = setting(3, "updates that make a round of fedbuff", low=1)
    staleness: float = setting(
        0.5, "a: an update from s rounds ago counts (1 + s)^-a (FedBuff, arXiv 2106.06639)", low=0
    )
    mixing: float = setting(
        0.6,
        "alpha of fedasync: weight of an update that is not stale (arXiv 1903.03934)",
        low=0,
        high=1,
    )
    join: str = setting(
        "full",
        "a newcomer's first rounds: full; frozen (trains only what is private); evaluate",
        choices=("full", "frozen", "evaluate"),
    )
    join_rounds: int = setting(0, "how many rounds that lasts", low=0)
    only: str = setting("", "hospitals that take part at all, comma-separated; empty: every one")
    seed: int = setting(0, "seed of missed rounds and of selection, for all methods alike", low=0)
    target_auc: float = setting(
        0.0, "AUC to reach; 0: what the hospital has alone in the end (method local)", low=0, high=1
    )


@dataclass(frozen=True)
class Calendar:
    """What a scenario says of one hospital, or of each of a group."""

    count: int = setting(
        0, "for a group: how many hospitals, the next ones in name order that no table names", low=0
    )
    every: float = setting(0.0, "for a group: weeks between the go-lives of its members", low=0)
    go_live: str = setting("0", f"when it joins: {MOMENT}")
    leave: str = setting("", f"when it leaves: {MOMENT}; empty: never")
    outages: str = setting("", f"when it is away: {WINDOWS}")
    miss: float = setting(0.0, "probability of missing a round", low=0, high=1)
    images: int = setting(-1, "training images it has when it goes live; -1: all", low=-1)
    images_per_week: float = setting(0.0, "training images that each week adds", low=0)
    speed: float = setting(1.0, "how fast it computes, 1: as image-seconds says", low=1e-6)
    downlink: float = setting(0.0, "Mbit/s towards it; 0: no limit", low=0)
    uplink: float = setting(0.0, "Mbit/s from it; 0: no limit", low=0)
    latency: float = setting(0.0, "seconds that any message takes besides", low=0)
    cost_per_hour: float = setting(0.0, "price of an hour of its computing, any currency", low=0)
    kilowatts: float = setting(0.0, "power that it draws while computing", low=0)
    garbage: str = setting("", f"when it sends garbage: {WINDOWS}")
    garbage_kind: str = setting(
        "noise",
        "what it sends then: noise or nan in the place of weights, its update with its sign "
        "flipped or scaled, or one of training on flipped labels",
        choices=("noise", "nan", "sign-flip", "scaled", "label-flip"),
    )
    garbage_scale: float = setting(10.0, "by how much a scaled update is too long", low=0, high=1e6)
    new_scanner: str = setting("", f"when its scanner is replaced: {MOMENT}; empty: never")
    new_scanner_shift: float = setting(
        1.0, "how different the new scanner is: 0 not at all, 1 clearly", low=0, high=3
    )
    unlearn: bool = setting(
        False,
        "when it leaves, go back to the weights from before it joined and train on from there",
    )
    target_auc: float = setting(0.0, "AUC it wants; 0: as rollout.target-auc", low=0, high=1)
