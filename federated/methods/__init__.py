"""The code that methods bring, a file each; their settings are in ``federated.config.presets``."""

from functools import lru_cache

from torch import nn

from federated.config.external import imported
from federated.config.schema import Config
from federated.dp.checking import check_protected
from federated.errors import UserError
from federated.exchange.norms import norms_of
from federated.exchange.schema import Schema
from federated.exchange.sharing import WEIGHTS, Boundary
from federated.learning.network import network_boundary, network_of, watched
from federated.learning.suitability import check_network
from federated.methods import parting
from federated.methods.seam import Rules

__all__ = ["check_method", "configured_boundary", "rules_of", "schema_of"]


def rules_of(config: Config) -> Rules:
    """Return the code of a method; one whose settings name none does what every method does.

    Or, with ``personalise.share``, parts with the others at the end; alone from the start there is
    nobody to part with.
    """
    if config.personalise.share and config.sharing.policy != "nothing":
        return parting.rules
    return _loaded(config.code) if config.code else Rules()


@lru_cache(maxsize=16)
def _loaded(reference: str) -> Rules:
    rules = imported(reference, "code")
    if not isinstance(rules, Rules):
        raise UserError(
            f"code = '{reference}' is a {type(rules).__name__} and no federated.methods.seam.Rules."
        )
    return rules


def configured_boundary(config: Config, model: nn.Module) -> Boundary:
    """Return what may leave a site: what of the network is shared, and the method's own groups."""
    boundary = network_boundary(config, model)
    for name, tensors in rules_of(config).groups(model, boundary, config).items():
        boundary = boundary.with_group(name, tensors)
    return boundary


@lru_cache(maxsize=64)
def schema_of(config: Config) -> Schema:
    """Return what may leave a site under a method, derived once a process.

    Raises:
        UserError: as ``configured_boundary``.
    """
    model = network_of(config, seed=0)
    norms = norms_of(model, watched(config))
    names = frozenset(f"{WEIGHTS}/{name}" for name in norms.affine | norms.statistics)
    return Schema(configured_boundary(config, model).shared, names)


def check_method(config: Config, method: str) -> None:
    """Find what every site would stumble over in the network of a method, before any starts.

    Raises:
        UserError: the network does not fit the method, or cannot be judged.
    """
    check_network(config, method)
    schema = schema_of(config)
    own = sorted({spec.name.partition("/")[0] for spec in schema.tensors} - {WEIGHTS})
    if own and config.server.compares_updates:
        raise UserError(
            f"{method}: its hospitals send {', '.join(own)} beside the weights, which its server "
            "renews by their mean; so server.rule must be mean and server.norm-bound 0."
        )
    model = network_of(config, seed=0)
    check_protected(config, method, model, configured_boundary(config, model))
