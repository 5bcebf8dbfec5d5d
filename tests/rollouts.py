"""Run folders of rollouts as the server writes them, made up for tests."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from test_plots import Row, value, write_run

from federated.config.study import build
from federated.rollout.clock import trip
from federated.rollout.scenario import HOURS_PER_WEEK, scenario_of
from federated.runs.columns import TIMELINE_COLUMNS
from federated.runs.reading import Run

KEPT = ("auc", "sensitivity", "specificity", "f1", "balanced_accuracy")
Span = tuple[str, int, int, str, str, float, float]
Event = dict[str, object]


def write_rollout(
    folder: Path,
    rows: Iterable[Row],
    spans: Iterable[Span],
    events: Iterable[Event] = (),
    sites: Sequence[str] = (),
    methods: Sequence[str] = ("local", "fedavg"),
    **settings: object,
) -> Run:
    """Write a run folder with a timeline; settings have dotted names."""
    registered = [{"kind": "site-registered", "site": site, "num_examples": 80} for site in sites]
    run = write_run(folder, rows, methods, events=[*registered, *events], **settings)
    with (folder / "timeline.csv").open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(TIMELINE_COLUMNS)
        lines.writerows((*span[:5], repr(span[5]), repr(span[6])) for span in spans)
    return run


def weekly(
    folder: Path, aucs: Mapping[tuple[str, int, str], Sequence[float]], **settings: object
) -> Run:
    """Write a rollout of validation AUCs by method, seed and site, one evaluation a week.

    That of round r ends at hour 168 (r - 1) + 2; test AUC is 0.1 below. With ``plain=True`` the
    run is no rollout.
    """
    is_plain = settings.pop("plain", False)
    methods, seeds, sites = (list(dict.fromkeys(key[i] for key in aucs)) for i in range(3))
    rows: list[Row] = []
    spans: list[Span] = []
    for (method, seed, site), values in aucs.items():
        for round, auc in enumerate(values, start=1):
            key = (method, seed, round, site)
            for split, shown in (("val", auc), ("test", auc - 0.1)):
                rows.append((*key, split, "current", "auc", shown, 40))
            hour = (round - 1) * HOURS_PER_WEEK
            spans.append((*key, "evaluate", hour, hour + 2.0))
    rounds = max(map(len, aucs.values()))
    given = {"methods": methods, "seeds": seeds, "rounds": rounds, **settings}
    return write_rollout(folder, rows, [] if is_plain else spans, sites=sites, **given)  # type: ignore[arg-type]


def made_up(
    folder: Path,
    sites: Sequence[str],
    weeks: int,
    settings: Mapping[str, object],
    methods: Sequence[str] = ("local", "fedavg"),
) -> Run:
    """Write a rollout of one round a week whose AUC grows with the rounds that a site has had.

    Updates that are slower than the median by a day are dropped.
    """
    config = build(dict(settings))
    scenario = scenario_of(config.rollout, config.calendars, sites)
    rows: list[Row] = []
    spans: list[Span] = []
    events: list[Event] = []
    for method in methods:
        had = dict.fromkeys(sites, 0)
        for round in range(1, weeks + 1):
            start, where = (round - 1) * HOURS_PER_WEEK, {"method": method, "seed": 0}
            ends = []
            for site, hospital in scenario.hospitals.items():
                why = hospital.absence(round - 1.0, round, 0)
                at = {**where, "round": round, "site": site}
                if why in ("outage", "missed"):
                    events.append({"kind": "hospital-absent", "reason": why, **at})
                if why:
                    continue
                if not had[site]:
                    hours = max(start, hospital.go_live * HOURS_PER_WEEK)
                    events.append({"kind": "hospital-joined", "hours": hours, **at})
                had[site] += 1
                size = 0.0 if method == "local" else 4e6
                way = trip(
                    hospital.calendar, config.rollout.image_seconds, start=start,
                    bytes_down=size, images=80, bytes_up=size,
                )  # fmt: skip
                key = (method, 0, round, site)
                spans.append((*key, "download", way.start, way.down))
                spans.append((*key, "train", way.down, way.done))
                spans.append((*key, "upload", way.done, way.arrival))
                ends.append((site, way.arrival))
                spans.append((*key, "evaluate", way.arrival, way.arrival + 0.5))
                rows += _numbers(method, round, site, had[site], size)
            limit = sorted(end for _, end in ends)[len(ends) // 2] + 24
            end = max(min(end, limit) for _, end in ends)
            for site, arrival in ends:
                what = "used" if arrival <= limit else "dropped"
                if method != "local":
                    spans.append((method, 0, round, site, what, arrival, max(arrival, end)))
            if method != "local":
                spans.append((method, 0, round, "", "round", start, end))
        rows += [
            (method, 0, weeks, site, "test", "kept", metric, _auc(method, site, 999), 40)
            for site in scenario.hospitals
            for metric in KEPT
        ]
    return write_rollout(folder, rows, spans, events, sites, methods, rounds=weeks, **settings)


def _auc(method: str, site: str, had: int) -> float:
    best = (
        0.72 + 0.16 * value(site) + (0.09 * (value(site, "g") - 0.55) if method != "local" else 0)
    )
    pace = 0.5 if method == "local" else 1.0
    return min(0.999, best - 0.3 / (1 + pace * had))


def _numbers(method: str, round: int, site: str, had: int, size: float) -> list[Row]:
    key = (method, 0, round, site)
    aucs = {
        split: _auc(method, site, had) + 0.03 * (value(*key, split) - 0.75)
        for split in ("val", "test")
    }
    return [
        (*key, "train", "current", "bytes_up", size, 80),
        (*key, "train", "current", "bytes_down", size, 80),
        *((*key, split, "current", "auc", auc, 40) for split, auc in aucs.items()),
    ]
