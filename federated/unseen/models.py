"""The models of a finished run: as each hospital keeps them, or as the federation ended.

A simulation's sites share one disk, so that all their batch norms can be read here. In a real
federation they never leave, and neither a mean of them nor the nearest can be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from federated.config.schema import Config
from federated.errors import UserError, did_you_mean
from federated.exchange.sharing import WEIGHTS, constant_part, group, join
from federated.learning.compute import Compute, device_for, uses_bf16
from federated.learning.network import network_of
from federated.methods import configured_boundary
from federated.runs.reading import Run
from federated.runs.vaults import kept_model
from federated.storage import DamagedFileError, read_tensors

State = dict[str, Tensor]


def site_state(run: Run, site: str, method: str, seed: int, model: str = "kept") -> State:
    """Return the whole model, batch norm included, that a site keeps or uses in the end.

    Args:
        run: A simulation's run.
        site: The hospital.
        method: The method.
        seed: The seed.
        model: ``kept`` or ``final``.

    Raises:
        UserError: there is no such site, method or seed, or its model is not here or damaged.
    """
    check_names(run, site, method, seed)
    vault = run.files.vault(site, method, seed)
    path = kept_model(vault) if model == "kept" else vault / "final.safetensors"
    if path is None or not path.exists():
        raise UserError(
            f"{vault} holds no {model} model of {site}; a run that has ended has one of each site."
            + run.elsewhere
        )
    return _read(path)


def check_names(run: Run, site: str, method: str, seed: int) -> None:
    """Refuse what the run does not have.

    Raises:
        UserError: naming what there is.
    """
    sites = run.sites
    for what, wanted, there in (
        ("site", site, sites),
        ("method", method, list(run.study.common.methods)),
        ("seed", str(seed), [str(known) for known in run.study.common.seeds]),
    ):
        if wanted not in there:
            raise UserError(
                f"{run.folder} has no {what} {wanted}{did_you_mean(wanted, there)}; it has "
                f"{', '.join(there)}."
            )


def last_states(run: Run, method: str, seed: int) -> Mapping[str, State]:
    """Return each site's model after the last round: the server's weights, what is private its own.

    Raises:
        UserError: the method shares nothing, or these files are not here.
    """
    config = run.study.by_method[method]
    network = network_of(config, seed)
    boundary = configured_boundary(config, network)
    if not boundary.shared:
        raise UserError(f"{method} shares nothing: there is no model of the federation to take.")
    newest = sorted(run.files.cell(method, seed).glob("round-*.safetensors"))
    vaults = run.files.sites.vaults(method, seed)
    if not newest or not vaults:
        raise UserError(
            f"{run.folder} holds no weights of {method}, seed {seed}, to go on from."
            + run.elsewhere
        )
    weights = group(_read(newest[-1]), WEIGHTS)
    states = {}
    for site, vault in vaults.items():
        versions = sorted(vault.glob("round-*.safetensors"))
        if not versions:
            continue  # a hospital that was never there
        private = group(_read(versions[-1]), "private")
        own = {**constant_part(network.state_dict(), boundary), **private}
        states[site] = join(weights, own)
    return states


def network_with(config: Config, seed: int, state: Mapping[str, Tensor]) -> nn.Module:
    """Return a method's network with a whole state, to be evaluated."""
    network = network_of(config, seed)
    network.load_state_dict(dict(state))
    return network.eval()


def compute_of(config: Config) -> Compute:
    """Return device and precision as the run's sites had them."""
    device = device_for(config.engine.gpus)
    return Compute(device, uses_bf16(config.train.precision, device))


def _read(path: Path) -> State:
    try:
        return read_tensors(path)[0]
    except (DamagedFileError, FileNotFoundError) as error:
        raise UserError(f"{path} cannot be used: {error}") from error
