"""How a run that stopped goes on, and where its sites' logs lie: here, or in hospitals."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from federated.errors import UserError
from federated.runs.folder import RunFolder, SitesFolder


@dataclass(frozen=True)
class Advice:
    """What to tell a person whose run stopped.

    Attributes:
        folder: The run's.
        run: Its id, after which a hospital names the folder of its vaults.
        is_flowers: Whether ``flwr run`` started it, and not our own command.
        named: The sites that are hospitals with a vault of their own.
        vaults: ``engine.vaults``: the folder of each node for its sites' vaults; empty: they are in
            the run's.
    """

    folder: Path
    run: str
    is_flowers: bool = False
    named: Collection[str] = ()
    vaults: str = ""

    @property
    def command(self) -> str:
        """How to go on, at the end of a sentence."""
        if self.is_flowers:
            return f'the same flwr run once more, with folder="{self.folder}" in its run-config'
        return f"consilium resume {self.folder}"

    def log_of(self, site: str) -> str:
        """Return where a site's own log lies."""
        if site in self.named:
            return f"{SitesFolder(Path('VAULT') / self.run).log(site)} at {site}"
        return log_in_simulation(self.folder, self.run, self.vaults, site)

    def logs_of(self, sites: Collection[str]) -> str:
        """Return where the logs of some sites lie, as a sentence that ends with a full stop."""
        vault = " (VAULT as its node-config has it)" if set(sites) & set(self.named) else ""
        return f"what went wrong is in {', '.join(map(self.log_of, sites))}{vault}."


def log_in_simulation(folder: Path, run: str, vaults: str, site: str) -> str:
    """Return where the log of a site of a simulation lies: in the run's folder or on its node."""
    if not vaults:
        return str(RunFolder(folder).site_log(site))
    return f"{SitesFolder(Path(vaults) / run).log(site)} on its node"


class WithoutTraceback(logging.Filter):
    """Has Flower log a mistake of the user's as the sentence that it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without the traceback of a ``UserError``."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, UserError):
            record.msg, record.args, record.exc_info = f"consilium: {error}", (), None
        return True


def tell_plainly() -> None:
    """Have Flower log a ``UserError`` of this process's ServerApp in one sentence.

    It does so after the app has ended, so this is not undone.
    """
    log = logging.getLogger("flwr")
    if not any(isinstance(one, WithoutTraceback) for one in log.filters):
        log.addFilter(WithoutTraceback())
