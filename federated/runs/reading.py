"""A finished or running run as tidy DataFrames.

run = federated.runs.reading.load("runs/demo")
run.metrics            # method, seed, round, site, split, model, metric, value, num_examples
run.wide("test")       # one row per method, seed, round, site; one column per metric
run.selected("test")   # at the round that each site's validation images chose
run.timeline           # of a rollout: method, seed, round, site, activity, start, end
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from federated.config.external import reason
from federated.config.given import read_toml
from federated.config.study import Study, parse
from federated.errors import UserError
from federated.lazy import pd
from federated.runs.vaults import kept_model

COLUMNS = (
    "method",
    "seed",
    "round",
    "site",
    "split",
    "model",
    "metric",
    "value",
    "num_examples",
)
KEYS = ["method", "seed", "round", "site"]
TIMELINE = (*KEYS, "activity", "start", "end")


@dataclass(frozen=True)
class Run:
    """A run folder, read lazily."""

    folder: Path

    @cached_property
    def study(self) -> Study:
        """The run's configuration, of all methods."""
        return parse(read_toml(self.folder / "config.toml"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, commit and processor of the run."""
        path = self.folder / "environment.json"
        with _damage_of(path):
            return dict(json.loads(path.read_text(encoding="utf-8")))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Every number of the run in long form, columns ``COLUMNS``.

        ``split`` is train, val or test. ``model`` is ``current`` (the weights of that round),
        ``kept`` (the round chosen on the site's validation images), ``personalised``, ``own`` (of
        the method local) or ``final`` (what the site uses in the end).
        """
        path = self.folder / "metrics.csv"
        with _damage_of(path):
            frame = pd.read_csv(
                path,
                dtype={"method": "str", "site": "str", "split": "str", "model": "str"},
                keep_default_na=False,
                # Python's float reads back the very bits that were written; pandas' need not.
                converters={"value": float},
            )
            return self.in_order(frame)

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """Who did what from when to when in virtual time, columns ``TIMELINE``, in hours.

        Empty if the run is no rollout. ``activity`` is download, train, upload, evaluate, or what
        became of an update: used, waiting or dropped, from its arrival to the end of the round
        that decided. Rows of no site with ``round`` are the rounds themselves.
        """
        path = self.folder / "timeline.csv"
        if not path.exists():
            return pd.DataFrame(columns=list(TIMELINE)).astype({"start": float, "end": float})
        with _damage_of(path):
            frame = pd.read_csv(
                path,
                dtype={"method": "str", "site": "str", "activity": "str"},
                keep_default_na=False,
                converters={"start": float, "end": float},
            )
            return self.in_order(frame)

    def in_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows sorted by method as the run has them, seed and round, else as they were."""
        order = {name: i for i, name in enumerate(self.study.common.methods)}
        return frame.sort_values(
            ["method", "seed", "round"],
            key=lambda column: column.map(order) if column.name == "method" else column,
            kind="stable",
            ignore_index=True,
        )

    @cached_property
    def events(self) -> pd.DataFrame:
        """What happened when, one row per event."""
        path = self.folder / "events.jsonl"
        with _damage_of(path):
            lines = path.read_text(encoding="utf-8").splitlines()
            return pd.DataFrame([json.loads(line) for line in lines])

    def wide(self, split: str, model: str = "current") -> pd.DataFrame:
        """Return one row per method, seed, round and site, one column per metric."""
        chosen = self.metrics[(self.metrics["split"] == split) & (self.metrics["model"] == model)]
        # Not pivot_table: it would drop a site whose every value is undefined.
        wide = chosen.set_index([*KEYS, "num_examples", "metric"])["value"].unstack("metric")
        order = chosen[[*KEYS, "num_examples"]].drop_duplicates()
        return order.merge(wide.rename_axis(columns=None).reset_index(), how="left")

    def selected(self, split: str, model: str = "kept") -> pd.DataFrame:
        """Return metrics of the model that each site chose on its own validation images.

        Args:
            split: ``val`` or ``test``. The choice itself never looks at ``test``.
            model: ``kept``, ``personalised``, ``own`` or ``final``.

        Returns:
            One row per method, seed and site; ``kept_round`` is the round that was chosen.
        """
        chosen = self.wide(split, model)
        rounds = self.metrics.query("metric == 'kept_round'")[["method", "seed", "site", "value"]]
        rounds = rounds.rename(columns={"value": "kept_round"}).astype({"kept_round": int})
        chosen = chosen.drop(columns=["round", "kept_round"], errors="ignore").merge(rounds)
        # A hospital that leaves early tells of its model early; here sites are in name order.
        cells = chosen.groupby(["method", "seed"], sort=False).ngroup()
        return chosen.iloc[chosen.assign(cell=cells).sort_values(["cell", "site"]).index]

    def predictions(self, site: str, method: str, seed: int, which: str = "kept") -> pd.DataFrame:
        """Return a site's predictions: split, image, label, probability.

        They lie on the site's side and are readable here only because a simulation's sites share
        one disk.
        """
        vault = self.folder / "sites" / site / method / f"seed-{seed}"
        path = vault / f"predictions-{which}.csv"
        if which == "kept" and (model := kept_model(vault)) is not None:
            path = model.with_suffix(".csv")
        return pd.read_csv(path)


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    """Have a file that is cut off, or is another one, end in one sentence."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({reason(error).rstrip('.')}); what a crash left behind is put in "
            f"order by: consilium resume {path.parent}"
        ) from error


def load(path: str | Path) -> Run:
    """Return the run in a folder.

    Raises:
        UserError: the folder holds no run.
    """
    folder = Path(path)
    if not (folder / "metrics.csv").exists():
        raise UserError(f"{folder} holds no run (no metrics.csv); name the folder that a run made.")
    return Run(folder)


def write_parquet(run: Run) -> Path:
    """Write ``metrics.parquet`` beside ``metrics.csv`` and return its path."""
    path = run.folder / "metrics.parquet"
    run.metrics.to_parquet(path, index=False)
    return path
