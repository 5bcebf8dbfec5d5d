"""A finished or running run as tidy DataFrames.

run = federated.runs.reading.load("runs/demo")
run.metrics            # method, seed, round, site, split, model, metric, value, num_examples
run.wide("test")       # one row per method, seed, round, site; one column per metric
run.selected("test")   # of the model that each site kept
run.timeline           # of a rollout: method, seed, round, site, activity, start, end
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.config.external import reason
from federated.config.given import read_toml
from federated.config.study import Study, parse
from federated.errors import UserError
from federated.lazy import pd
from federated.runs.columnar import (
    chosen,
    frame_of,
    read_table,
    sorted_rows,
    words_in,
    write_parquet,
)
from federated.runs.columns import (
    CELL,
    METRIC_TYPES,
    SITE,
    SITE_ROUND,
    TIMELINE_COLUMNS,
    TIMELINE_TYPES,
)
from federated.runs.folder import RunFolder, SitesFolder
from federated.runs.lineage import Lineage
from federated.runs.vaults import predictions_file, read_predictions
from federated.runs.words import MODELS, check_word, check_words

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Run:
    """A run folder, read lazily."""

    folder: Path

    @property
    def files(self) -> RunFolder:
        """What lies where in the folder."""
        return RunFolder(self.folder)

    @cached_property
    def study(self) -> Study:
        """The run's configuration, of all methods."""
        return parse(read_toml(self.files.config))

    @cached_property
    def elsewhere(self) -> str:
        """Where the vaults of nodes are, and how to have them here; empty: no node keeps any.

        A sentence with a space before it, for the end of others.
        """
        vaults = self.study.common.engine.vaults
        if not vaults or self.files.sites.path.is_dir():
            return ""
        lie = SitesFolder(Path(vaults) / Lineage.read(self.files.lineage).run).path
        return (
            " The vaults of this run lie on the nodes of its Ray cluster: copy what each node has "
            f"in {lie} to {self.files.sites.path}."
        )

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, commit and processor of the run."""
        path = self.files.environment
        with _damage_of(path):
            return dict(json.loads(path.read_text(encoding="utf-8")))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Every number of the run in long form, columns ``METRIC_COLUMNS``.

        ``split`` is train, val or test. ``model`` is ``current`` (the weights of that round),
        ``kept`` (of the round that ``keep.rule`` keeps), ``personalised``, ``own`` (of
        the method local) or ``final`` (what the site uses in the end).
        """
        return frame_of(self._numbers)

    @cached_property
    def _numbers(self) -> pa.Table:
        """What ``metrics`` holds; as a DataFrame a long run of many hospitals needs many GB."""
        path = self.files.metrics
        with _damage_of(path):
            return read_table(path, METRIC_TYPES, self.study.common.methods)

    def values(self, metric: str, split: str, model: str = "current") -> pd.DataFrame:
        """Return one metric as method, seed, round, site, value, num_examples; NaN where undefined.

        Args:
            metric: Its name.
            split: train, val or test.
            model: As in ``metrics``.

        Raises:
            UserError: there is no such split or model.
        """
        check_words(split, model)
        rows = chosen(self._numbers, metric=metric, split=split, model=model)
        return frame_of(rows.select([*SITE_ROUND, "value", "num_examples"]))

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The hospitals that have reported anything, in name order."""
        return tuple(sorted(words_in(self._numbers, "site")))

    @property
    def reached(self) -> Mapping[tuple[str, int], int]:
        """The newest round with any number, of every method and seed that has one."""
        newest = self._numbers.group_by(CELL).aggregate([("round", "max")]).to_pylist()
        return {(row["method"], row["seed"]): row["round_max"] for row in newest}

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """Who did what from when to when in virtual time, in hours.

        Columns ``TIMELINE_COLUMNS``; empty if the run is no rollout. ``activity`` is download,
        train, upload, evaluate, or what became of an update: used, waiting or dropped, from its
        arrival to the end of the round that decided. Rows of no site with ``round`` are the rounds
        themselves.
        """
        path = self.files.timeline
        if not path.exists():
            return _nothing_took_time()
        with _damage_of(path):
            return frame_of(read_table(path, TIMELINE_TYPES, self.study.common.methods))

    @cached_property
    def last_hour(self) -> float:
        """When the last activity of the timeline ends, hours; NaN if the run is no rollout."""
        return float(self.timeline["end"].max())

    def in_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows sorted by method as the run has them, seed and round, else as they were."""
        places = {name: place for place, name in enumerate(self.study.common.methods)}
        keys = [frame["method"].map(places).fillna(len(places)), frame["seed"], frame["round"]]
        rows = sorted_rows(*(key.to_numpy() for key in keys))
        return (frame if rows is None else frame.iloc[rows]).reset_index(drop=True)

    @cached_property
    def events(self) -> pd.DataFrame:
        """What happened when, one row per event."""
        path = self.files.events
        with _damage_of(path):
            lines = path.read_text(encoding="utf-8").splitlines()
            return pd.DataFrame([json.loads(line) for line in lines])

    def write_parquet(self) -> Path:
        """Write ``metrics.parquet`` beside ``metrics.csv`` and return its path."""
        write_parquet(self._numbers, self.files.parquet)
        return self.files.parquet

    @cached_property
    def worked_out(self) -> dict[Hashable, pd.DataFrame]:
        """What was worked out of the run so far (``federated.runs.once``)."""
        return {}

    @property
    def has_ended(self) -> bool:
        """Whether the run came to its end, as its last event says."""
        return "kind" in self.events and self.events["kind"].iloc[-1] == "run-ended"

    def wide(self, split: str, model: str = "current") -> pd.DataFrame:
        """Return one row per method, seed, round and site, one column per metric.

        Raises:
            UserError: there is no such split or model.
        """
        check_words(split, model)
        long = frame_of(chosen(self._numbers, split=split, model=model))
        # Not pivot_table: it would drop a site whose every value is undefined.
        wide = long.set_index([*SITE_ROUND, "num_examples", "metric"])["value"].unstack("metric")
        order = long[[*SITE_ROUND, "num_examples"]].drop_duplicates()
        return order.merge(wide.rename_axis(columns=None).reset_index(), how="left")

    def selected(self, split: str, model: str = "kept") -> pd.DataFrame:
        """Return metrics of the model that each site kept by ``keep.rule``, or used in the end.

        Args:
            split: ``val`` or ``test``. The choice itself never looks at ``test``.
            model: ``kept``, ``personalised``, ``own`` or ``final``.

        Returns:
            One row per method, seed and site; ``kept_round`` is the round that was chosen.
        """
        wide = self.wide(split, model)
        rounds = frame_of(chosen(self._numbers, metric="kept_round"))[[*SITE, "value"]]
        rounds = rounds.rename(columns={"value": "kept_round"}).astype({"kept_round": int})
        wide = wide.drop(columns=["round", "kept_round"], errors="ignore").merge(rounds)
        # A hospital that leaves early tells of its model early; here sites are in name order.
        cells = wide.groupby(CELL, sort=False).ngroup()
        return wide.iloc[wide.assign(cell=cells).sort_values(["cell", "site"]).index]

    def predictions(self, site: str, method: str, seed: int, which: str = "kept") -> pd.DataFrame:
        """Return a site's predictions: split, image, label, probability.

        They lie on the site's side and are readable here only because a simulation's sites share
        one disk.

        Raises:
            FileNotFoundError: there are none.
            UserError: there is no such site, method, seed or model, or the file is damaged.
        """
        common = self.study.common
        known = {"site": self.sites, "method": common.methods, "seed": common.seeds}
        for what, name in (("site", site), ("method", method), ("seed", seed)):
            check_word(what, name, known[what])
        check_word("model", which, MODELS)
        return read_predictions(predictions_file(self.files.vault(site, method, seed), which))


def _nothing_took_time() -> pd.DataFrame:
    """Return the timeline of a run that is no rollout."""
    hours = {"start": float, "end": float}
    return pd.DataFrame(columns=list(TIMELINE_COLUMNS)).astype(hours)


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
    run = Run(Path(path))
    if not run.files.metrics.exists():
        raise UserError(
            f"{run.folder} holds no run (no metrics.csv); name the folder that a run made."
        )
    return run
