"""Which round's model to keep: the rules of ``keep.rule`` on images that none of them chose by.

python benchmarks/keep_rules.py phantoms --seeds 5
python benchmarks/keep_rules.py real --covid-ct PATH --sars-cov-2 PATH --seeds 3

The runs keep every round, and note the probabilities that it gave. Then each rule, which sees the
AUC on one set of images, is judged on another. On phantoms it sees the validation images and is
judged on the rest, 120 at each hospital, which have no part in any result. On the real hospitals
test images are not looked at: a rule sees one half of the validation images and is judged on the
other, 200 times over, so it sees half as many as in earnest. ``centre`` is ``smoothed`` which keeps
the middle of the five rounds and not the last; it would have to store three models.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from federated.engine import run
from federated.learning.keeping import WINDOW, is_kept, judged
from federated.learning.metrics import auc
from federated.runs.reading import Run

COMMON = {
    "engine.kind": "inline",
    "engine.threads": "1",
    "train.precision": "fp32",
    "server.weighting": "uniform",
    "eval.views": "centre",
    "keep.rule": "last",
}
PHANTOMS = {
    **COMMON,
    "phantom.sites": "4",
    "data.val-fraction": "0.15",
    "data.test-fraction": "0.5",
    "eval.test": "rounds",
    "model.name": "convnet",
    "data.image-size": "32",
    "rounds": "25",
    "train.batch-size": "16",
    "train.max-steps": "8",
}
REAL = {
    **COMMON,
    "phantom.sites": "0",
    "rounds": "40",
    "train.lr": "5e-4",
    "train.max-steps": "15",
}
HALVES = 200
RULES = ("last", "best", "smoothed", "centre", "oracle")

Key = tuple[str, int, str]
Courses = dict[Key, list[pd.DataFrame]]
"""Predictions of a method, seed and site, round by round."""


def courses(settings: Mapping[str, str], methods: str, seed: int) -> Courses:
    """Return what every round's model gave every image that was looked at."""
    found: Courses = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"

        def listen(event: Mapping[str, Any]) -> None:
            if event["kind"] == "round-ended":
                for site in event["val_auc"]:
                    key = event["method"], event["seed"], site
                    method, seed, site = key
                    found[key].append(Run(folder).predictions(site, method, seed))

        run({**settings, "methods": methods, "seeds": str(seed), "folder": str(folder)}, listen)
    return found


def chosen(rule: str, scores: Sequence[float]) -> int:
    """Return the place of the round that a rule keeps."""
    kept, place, until = None, 0, WINDOW if rule == "centre" else 0
    for now in range(len(scores)):
        newest = judged("smoothed" if until else rule, scores[max(0, now + 1 - WINDOW) : now + 1])
        if now == 0 or is_kept(newest, kept):
            kept, place = newest, now
    return max(0, place - until // 2)


def outcomes(
    tables: Sequence[pd.DataFrame], seen: np.ndarray, judging: np.ndarray
) -> dict[str, float]:
    """Return the AUC on ``judging`` of what each rule keeps by the AUC on ``seen``."""
    labels = tables[0]["label"].to_numpy()
    scores = [table["probability"].to_numpy() for table in tables]
    by_seen, by_judging = (
        [float(auc(score[part], labels[part])) for score in scores] for part in (seen, judging)
    )
    rules = {rule: by_judging[chosen(rule, by_seen)] for rule in RULES[:-1]}
    return {**rules, "oracle": max(by_judging)}


def parts(table: pd.DataFrame, generator: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Yield which images a rule sees and which it is judged on."""
    if (table["split"] == "test").any():
        yield (table["split"] == "val").to_numpy(), (table["split"] == "test").to_numpy()
        return
    labels = table["label"].to_numpy()
    for _ in range(HALVES // 2):
        half = np.zeros(len(labels), bool)
        for label in (0, 1):
            drawn = generator.permutation(np.flatnonzero(labels == label))
            half[drawn[: len(drawn) // 2]] = True
        yield half, ~half
        yield ~half, half


def main() -> None:
    """Train, replay the rules, and print what each kept is worth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", choices=("phantoms", "real"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default="local,consilium")
    parser.add_argument("--covid-ct", default="")
    parser.add_argument("--sars-cov-2", default="")
    given = parser.parse_args()
    places = {"data.covid-ct": given.covid_ct, "data.sars-cov-2": given.sars_cov_2}
    rows = []
    for seed in range(given.seeds):
        own = {"phantom.seed": str(seed), "data.split-seed": str(seed)}
        settings = {**PHANTOMS, **own} if given.images == "phantoms" else {**REAL, **places}
        for key, tables in courses(settings, given.methods, seed).items():
            generator = np.random.default_rng(0)
            found = [outcomes(tables, *split) for split in parts(tables[0], generator)]
            rows.append((*key, *pd.DataFrame(found)[list(RULES)].mean()))
            print(*rows[-1], flush=True)
    tell(pd.DataFrame(rows, columns=["method", "seed", "site", *RULES]))


def tell(table: pd.DataFrame) -> None:
    """Print means over seeds, and what each rule has over ``best``, paired by seed (95 %, t)."""
    print(table.groupby(["site", "method"])[list(RULES)].mean().round(3).to_string())
    by_seed = table.groupby("seed")[list(RULES)].mean()
    wide = stats.t.ppf(0.975, len(by_seed) - 1) / np.sqrt(len(by_seed))
    for rule in RULES:
        gain = by_seed[rule] - by_seed["best"]
        print(f"{rule}: {by_seed[rule].mean():.4f}, {gain.mean():+.4f} ± {wide * gain.std():.4f}")


if __name__ == "__main__":
    main()
