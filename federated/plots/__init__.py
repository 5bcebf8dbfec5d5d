"""Figures of a run, each a function of it that returns a matplotlib ``Figure``.

    run = federated.results.load("runs/demo")
    federated.plots.convergence(run, metric="f1").savefig("f1.pdf")

Nothing here touches pyplot or needs a display.
"""

from importlib import import_module
from typing import Any

from federated.plots.comparison import comparison
from federated.plots.convergence import (
    convergence,
    methods_side_by_side,
    training_loss,
    worst_and_mean,
)
from federated.plots.drift import bn_distances, bn_drift
from federated.plots.memory import memory_occupancy
from federated.plots.numbers import NothingToDrawError
from federated.plots.roc import roc
from federated.plots.rollout import rollout
from federated.plots.style import DOUBLE, SINGLE, save

__all__ = [
    "DOUBLE",
    "SINGLE",
    "NothingToDrawError",
    "bn_distances",
    "bn_drift",
    "comparison",
    "convergence",
    "memory_occupancy",
    "methods_side_by_side",
    "roc",
    "rollout",
    "save",
    "training_loss",
    "worst_and_mean",
]

_ABOVE = {
    "rollout_benefit": "federated.answers.rollout_lines",
    "rollout_convergence": "federated.answers.rollout_lines",
    "rollout_cost": "federated.answers.rollout_cost",
    "rollout_disturbances": "federated.answers.rollout_disturbances",
    "rollout_joining": "federated.answers.rollout_joining",
    "rollout_target": "federated.answers.rollout_target",
    "rollout_waiting": "federated.answers.rollout_waiting",
    "save_all": "federated.report.gallery",
}


def __getattr__(name: str) -> Any:
    """Return a figure that an answer draws."""
    if name not in _ABOVE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ABOVE[name]), name)
