"""What a notebook shows while a run goes on: a bar, and each hospital's newest validation AUC."""

import sys
import time
from collections.abc import Mapping
from html import escape
from importlib import import_module
from typing import Any

from federated.config.study import Study

BETWEEN = 0.25
"""Seconds between two drawings, so that a quick run does not wait for the browser."""


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Panel:
    """The output of the cell that runs a study; a listener of its events.

    Args:
        study: The run.
    """

    def __init__(self, study: Study) -> None:
        self.total = sum(study.by_method[method].rounds for method, _ in study.cells())
        self.done: dict[tuple[str, int], int] = {}
        self.auc: Mapping[str, float | None] = {}
        self.now = "looking at the settings"
        self._began = self._drawn = time.monotonic()
        show: Any = import_module("IPython.display")
        self._html = show.HTML
        self._output = show.display(self._html(self.html()), display_id=True)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the run."""
        kind = event["kind"]
        if kind == "cell-started":
            self.done[event["method"], event["seed"]] = event["after"]
            self.now = f"{event['method']}, seed {event['seed']}: first round"
        elif kind == "cell-passed-over":
            self.done[event["method"], event["seed"]] = event["rounds"]
        elif kind == "round-ended":
            self.done[event["method"], event["seed"]] = event["round"]
            self.auc = event["val_auc"]
            self.now = f"{event['method']}, seed {event['seed']}, round {event['round']}"
        elif kind == "run-ended":
            self.now = f"ended after {time.monotonic() - self._began:.0f} s"
        self._draw(at_once=kind == "run-ended")

    def preparing(self, site: str, done: int, total: int) -> None:
        """Show how many images of a hospital are decoded."""
        self.now = f"decoding images of {site}: {done} of {total}"
        self._draw()

    def _draw(self, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._drawn > BETWEEN:
            self._drawn = time.monotonic()
            self._output.update(self._html(self.html()))

    def html(self) -> str:
        """Return what is shown now."""
        done = sum(self.done.values())
        known = ((site, auc) for site, auc in self.auc.items() if auc is not None)
        aucs = " · ".join(f"{escape(site)} {auc:.3f}" for site, auc in known)
        newest = f"<div>validation AUC: {aucs}</div>" if aucs else ""
        bar = f'<progress value="{done}" max="{self.total}" style="width: 20em"></progress>'
        return f"<div>{bar} {done} of {self.total} rounds, {escape(self.now)}</div>{newest}"
