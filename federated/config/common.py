"""The settings that are the same for all methods of a run: images, machines, and the rollout."""

from dataclasses import dataclass, field

from federated.config.asking import Statistics
from federated.config.boundary import Egress
from federated.config.engine import Engine
from federated.config.evaluation import Compare, Evaluation, Keep
from federated.config.fields import setting
from federated.config.images import Data, Partition, Phantom
from federated.config.rollout import Calendar, Rollout


@dataclass(frozen=True)
class Common:
    """What all methods of a run share. What differs by method cannot be asked for here."""

    name: str = setting("federation", "name of the run, part of its folder's name")
    methods: tuple[str, ...] = setting(
        ("consilium",), "methods to run, in this order; one of your own is package.module:name"
    )
    seeds: tuple[int, ...] = setting((0,), "seeds; every method runs with each", low=0)
    sites: tuple[str, ...] = setting(
        (),
        "hospitals that take part, such as north,south; empty: all that the data has. A server of "
        "hospitals with nodes of their own has no data, and needs it or engine.quorum",
    )
    folder: str = setting("", "run folder; empty: runs/NAME-DATE-TIME", changes_bits=False)
    track: tuple[str, ...] = setting(
        (),
        "trackers told of every number: tensorboard, mlflow, wandb (extras of the same names)",
        changes_bits=False,
    )
    modules: str = setting(
        "",
        "folders, separated as in PYTHONPATH, where package.module:name is looked for besides "
        "Python's own; empty: the config's and the current one",
        changes_bits=False,
    )
    data: Data = field(default_factory=Data)
    partition: Partition = field(default_factory=Partition)
    phantom: Phantom = field(default_factory=Phantom)
    eval: Evaluation = field(default_factory=Evaluation)
    egress: Egress = field(default_factory=Egress)
    keep: Keep = field(default_factory=Keep)
    engine: Engine = field(default_factory=Engine)
    rollout: Rollout = field(default_factory=Rollout)
    compare: Compare = field(default_factory=Compare)
    statistics: Statistics = field(default_factory=Statistics)
    calendars: tuple[tuple[str, Calendar], ...] = ()
    """Tables of the scenario: ``hospital.NAME`` or ``group.NAME``, in the order written."""
