"""The Flower ServerApp: register the hospitals, then run every method with every seed."""

import logging
from collections.abc import Mapping

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from federated.config.schema import Config
from federated.config.writing import study_from
from federated.data import site_names
from federated.exchange.fingerprint import code_digest
from federated.exchange.sharing import WEIGHTS, as_group
from federated.exchange.wire import ALL_SITES, Order
from federated.learning.network import network_of
from federated.methods import check_method, configured_boundary, rules_of
from federated.rollout.scenario import scenario_of
from federated.runs.folder import choose_folder, claimed
from server.cell import Cell
from server.grids import SummingGrid, summing
from server.opening import opened
from server.record import Record
from server.registration import Host, register
from server.rounds import run_cell

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole study on any grid; results go to the run folder."""
    study = study_from(context.run_config)
    cells = study.cells()
    for method, config in study.by_method.items():
        check_method(config, method)
    folder = choose_folder(study.common, new=False)
    if not study.common.folder:
        folder = claimed(folder)
    if not hasattr(grid, "listener"):
        # `flwr run` streams this line; results do not travel back by themselves.
        logging.getLogger("flwr").info("Results go to %s", folder.absolute())
    with opened(folder, study, getattr(grid, "listener", None)) as record:
        order = Order(*cells[0], 0, "", str(folder.absolute()), code_digest(), run=record.run)
        timeout = study.common.engine.timeout
        hosts = register(grid, record, site_names(study.common), order=order, timeout=timeout)
        for method, seed in cells:
            config = study.by_method[method]
            cell = open_cell(summing(grid), record, hosts, config=config, method=method, seed=seed)
            run_cell(cell)
        record.emit("run-ended")


def open_cell(
    grid: SummingGrid,
    record: Record,
    hosts: Mapping[str, Host],
    *,
    config: Config,
    method: str,
    seed: int,
) -> Cell:
    """Return a cell with what its sites are sent in round 1."""
    model = network_of(config, seed)
    boundary, rules = configured_boundary(config, model), rules_of(config)
    state = as_group(model.state_dict(), WEIGHTS)
    for name, tensors in rules.groups(model, boundary).items():
        state |= as_group(tensors, name)
    sites = pooled(hosts) if config.train.pooled else hosts
    return Cell(
        grid=grid,
        record=record,
        config=config,
        method=method,
        seed=seed,
        nodes={site: host.node for site, host in sites.items()},
        boundary=boundary,
        initial={spec.name: state[spec.name].numpy() for spec in boundary.shared},
        scenario=scenario_of(config.rollout, config.calendars, list(sites)),
        train_images={site: host.train_images for site, host in sites.items()},
        everyone=tuple(hosts) if config.train.pooled else (),
        server_rule=rules.server,
    )


def pooled(hosts: Mapping[str, Host]) -> dict[str, Host]:
    """Return all sites as one, at the first one's node."""
    first = next(iter(hosts.values()))
    return {ALL_SITES: Host(first.node, sum(host.train_images for host in hosts.values()))}
