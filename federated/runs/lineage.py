"""What a run remembers of itself, so that nothing else is taken for it: who made it, and of what.

RUN/lineage.json is written once, when the run is born. Vaults and checkpoints carry the run's id.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federated import __version__
from federated.errors import UserError
from federated.exchange.fingerprint import code_digest

MOST_NAMED = 3
"""Differing settings that a sentence names."""
GROWING = ("methods", "seeds")
"""Lists that may grow at their end: cells are added, and those that are there keep their bits."""


@dataclass(frozen=True)
class Lineage:
    """A run's identity.

    Attributes:
        run: Its id, drawn when it was born.
        version: The version of Consilium that began it.
        code: The digest of that code.
        settings: Every setting by its dotted name, as ``config.toml`` has it.
    """

    run: str
    version: str
    code: str
    settings: Mapping[str, Any]

    @classmethod
    def new(cls, settings: Mapping[str, Any]) -> "Lineage":
        """Return the lineage of a run that begins now, with this code."""
        return cls(uuid.uuid4().hex, __version__, code_digest(), dict(settings))

    @classmethod
    def read(cls, path: Path) -> "Lineage":
        """Return the lineage in a file.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(
                f"{path.parent} holds no run that can go on: {path.name} is missing."
            ) from None
        except (ValueError, TypeError):
            raise UserError(
                f"{path} is damaged; put it back from a copy, or begin the run anew in another "
                "folder."
            ) from None

    def to_json(self) -> str:
        """Return what ``read`` reads."""
        return json.dumps(asdict(self), indent=1)

    def check(
        self, settings: Mapping[str, Any], is_free: Callable[[str], bool], *, folder: Path
    ) -> None:
        """Check that a run with these settings and this code is the one in the folder.

        Methods and seeds may have been added behind those that it has.

        Args:
            settings: As of a lineage.
            is_free: Whether a setting may differ because it changes no bit.
            folder: Of the run, for the sentence.

        Raises:
            UserError: a setting that decides the numbers differs, or the code does.
        """
        grown = {name for name in GROWING if self._begins(settings, name)}
        mine, given = (set(s.get("methods", [])) for s in (self.settings, settings))
        tables = tuple(f"method.{method}." for method in mine ^ given)
        names = (self.settings.keys() | settings.keys()) - grown
        differing = [
            f"{name} was {self.settings.get(name)!r} and is now {settings.get(name)!r}"
            for name in sorted(names, key=lambda name: (name not in GROWING, name))
            if not (is_free(name) or name.startswith(tables))
            and self.settings.get(name) != settings.get(name)
        ]
        if differing:
            shown = "; ".join(differing[:MOST_NAMED])
            more = len(differing) - MOST_NAMED
            hint = ""
            if not {*GROWING} <= grown:
                hint = " Methods and seeds can be added at the end of the lists only."
            raise UserError(
                f"{folder} holds a run with other settings: {shown}"
                f"{f'; and {more} more' if more > 0 else ''}.{hint} Name another folder, or go on "
                f"with that run as it was: consilium resume {folder}"
            )
        if self.code != code_digest():
            raise UserError(
                f"{folder} holds a run that other code began (version {self.version}, digest "
                f"{self.code[:12]}; this is {__version__}, {code_digest()[:12]}), so its numbers "
                "might not go on as they began. Install that code again, or begin the run anew."
            )

    def _begins(self, settings: Mapping[str, Any], name: str) -> bool:
        """Return whether a list begins with what this run has of it."""
        mine, given = (list(s.get(name, [])) for s in (self.settings, settings))
        return given[: len(mine)] == mine
