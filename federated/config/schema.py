"""The settings of a method as frozen dataclasses, each with its meaning, unit and range.

A file beside this one holds the tables of one subject. ``federated.config.study`` turns files,
overrides and run-configs into them; docs/CONFIG.md is printed from them by ``consilium config
--markdown``.
"""

from dataclasses import dataclass, field, fields

from federated.config.boundary import Privacy, Sharing
from federated.config.common import Common
from federated.config.fields import setting
from federated.config.server import Server
from federated.config.training import BatchNorm, Contrast, Model, Personalise, Train


@dataclass(frozen=True)
class Config(Common):
    """One method's whole configuration: what all methods share, and what may differ."""

    rounds: int = setting(10, "rounds of training", low=1)
    code: str = setting(
        "", "what the method brings beyond its settings: package.module:name of its Rules"
    )
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)
    contrast: Contrast = field(default_factory=Contrast)
    sharing: Sharing = field(default_factory=Sharing)
    bn: BatchNorm = field(default_factory=BatchNorm)
    server: Server = field(default_factory=Server)
    personalise: Personalise = field(default_factory=Personalise)
    privacy: Privacy = field(default_factory=Privacy)


METHOD_SECTIONS = tuple(
    item.name for item in fields(Config) if item.name not in {each.name for each in fields(Common)}
)
"""What may differ between methods of one run. Data, engine and rollout are the same for all."""
