"""Where a run goes, and what lies where in its folder. Nothing here is heavy to import.

FOLDER/
  config.toml                      every setting; reading it again gives the same run
  lineage.json                     the run's id, its settings and its code, for whoever goes on
  hospitals.json                   of a deployment: which node each hospital is
  lock                             held by the process that works on the run
  environment.json                 versions, commit, processor
  metrics.csv, metrics.parquet     long form: one number a row
  events.jsonl                     what happened when
  received.csv                     what the server received of whom: digests, for the ledgers
  data_statistics.csv              what the hospitals told of their data, if they were asked
  timeline.csv                     a rollout in virtual time: who did what from when to when
  METHOD/seed-0/                   the server's side of a cell: checkpoints, shared.safetensors
  sites/SITE/site.log              what went wrong at a site
  sites/SITE/METHOD/seed-0/        the site's vault of a cell: models, predictions, ledger.jsonl
  trackers/                        what TensorBoard, MLflow or Weights & Biases were told
  answers/, plots/, summary.html   what was made of it
"""

import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from federated.config.common import Common
from federated.errors import UserError, absolute_path, shown_path

LEDGER = "ledger.jsonl"
"""In a site's vault of a cell: what left."""
SITE_LOG = "site.log"
"""In the folder of a site: what went wrong there."""


@dataclass(frozen=True)
class SitesFolder:
    """The sites' own side: ``sites/`` of a simulation, or where a real site keeps its vaults."""

    path: Path

    def site(self, name: str) -> Path:
        """Return the folder of one site."""
        return self.path / name

    def log(self, name: str) -> Path:
        """Return the file in which a site logs its failures."""
        return self.site(name) / SITE_LOG

    def vault(self, name: str, method: str, seed: int) -> Path:
        """Return where a site keeps what is private under one method and seed."""
        return self.site(name) / _cell(method, seed)

    def vaults(self, method: str, seed: int) -> dict[str, Path]:
        """Return the vaults that are there for one method and seed, by site, in name order."""
        vaults = sorted(self.path.glob(f"*/{_cell(method, seed)}"))
        return {vault.parents[1].name: vault for vault in vaults}


@dataclass(frozen=True)
class RunFolder:
    """What lies where in the folder of a run, whether it is there or not."""

    path: Path

    @property
    def config(self) -> Path:
        """Every setting of the run."""
        return self.path / "config.toml"

    @property
    def lineage(self) -> Path:
        """What the run is, for whoever goes on with it."""
        return self.path / "lineage.json"

    @property
    def hospitals(self) -> Path:
        """Which node each hospital of a deployment is; absent of a simulation."""
        return self.path / "hospitals.json"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the run."""
        return self.path / "lock"

    @property
    def environment(self) -> Path:
        """On what the run ran."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """Every number of the run, one a row."""
        return self.path / "metrics.csv"

    @property
    def parquet(self) -> Path:
        """The same as Parquet."""
        return self.path / "metrics.parquet"

    @property
    def events(self) -> Path:
        """What happened when, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def received(self) -> Path:
        """Digests of what the server received, one reply a row."""
        return self.path / "received.csv"

    @property
    def data_statistics(self) -> Path:
        """What the hospitals told of their data, one number a row; absent if nobody asked."""
        return self.path / "data_statistics.csv"

    @property
    def timeline(self) -> Path:
        """Virtual time of a rollout; absent if the run is none."""
        return self.path / "timeline.csv"

    @property
    def sites(self) -> SitesFolder:
        """The sites' own side, which is here because a simulation's sites share one disk."""
        return SitesFolder(self.path / "sites")

    @property
    def trackers(self) -> Path:
        """What TensorBoard, MLflow or Weights & Biases were told."""
        return self.path / "trackers"

    @property
    def answers(self) -> Path:
        """Numbers and pictures of what the run was asked."""
        return self.path / "answers"

    @property
    def plots(self) -> Path:
        """Every figure that the run has the numbers for."""
        return self.path / "plots"

    @property
    def summary(self) -> Path:
        """The page of the run."""
        return self.path / "summary.html"

    def cell(self, method: str, seed: int) -> Path:
        """Return the server's side of one method and seed."""
        return self.path / _cell(method, seed)

    def vault(self, site: str, method: str, seed: int) -> Path:
        """Return the vault of a site under one method and seed."""
        return self.sites.vault(site, method, seed)

    def site_log(self, site: str) -> Path:
        """Return the file in which a site logs its failures."""
        return self.sites.log(site)


def _cell(method: str, seed: int) -> Path:
    return Path(method) / f"seed-{seed}"


def choose_folder(config: Common, *, new: bool) -> Path:
    """Return the run's absolute folder, as configured or named after the run and the time.

    Raises:
        UserError: a new run would write into a folder that has something in it.
    """
    if not config.folder:
        named = Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return named.absolute()
    folder = absolute_path(config.folder, "folder")
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    if not nearest.is_dir():
        raise UserError(f"{shown_path(nearest)} is a file; name a folder for the run.")
    if new and not os.access(nearest, os.W_OK):
        raise UserError(f"{shown_path(nearest)} cannot be written to; name another run folder.")
    if new and folder.exists() and any(folder.iterdir()):
        raise UserError(
            f"{folder} is not empty; name another folder, or go on with the run in it: "
            f"consilium resume {folder}"
        )
    return folder


def claimed(folder: Path) -> Path:
    """Return a new, empty folder for a run without a name of its own: ``folder``, or one beside it.

    Two runs that begin in the same second get two folders.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            place.mkdir()
        except FileExistsError:
            continue
        return place
    raise AssertionError("there are always more numbers")
