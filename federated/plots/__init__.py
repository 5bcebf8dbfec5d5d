"""Figures of a run, each a function of it that returns a matplotlib ``Figure``.

    run = federated.results.load("runs/demo")
    federated.plots.convergence(run, metric="f1").savefig("f1.pdf")

Nothing here touches pyplot or needs a display.
"""

from federated.plots.comparison import comparison
from federated.plots.convergence import (
    convergence,
    methods_side_by_side,
    training_loss,
    worst_and_mean,
)
from federated.plots.drift import bn_distances, bn_drift
from federated.plots.gallery import save_all
from federated.plots.memory import memory_occupancy
from federated.plots.numbers import NothingToDrawError
from federated.plots.roc import roc
from federated.plots.rollout import rollout
from federated.plots.rollout_cost import rollout_cost
from federated.plots.rollout_disturbances import rollout_disturbances
from federated.plots.rollout_joining import rollout_joining
from federated.plots.rollout_lines import rollout_benefit, rollout_convergence
from federated.plots.rollout_target import rollout_target
from federated.plots.rollout_waiting import rollout_waiting
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
    "rollout_benefit",
    "rollout_convergence",
    "rollout_cost",
    "rollout_disturbances",
    "rollout_joining",
    "rollout_target",
    "rollout_waiting",
    "save",
    "save_all",
    "training_loss",
    "worst_and_mean",
]
