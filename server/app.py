"""The Flower ServerApp: register the hospitals, then run every method with every seed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from torch import nn

from federated.config.schema import Config
from federated.config.writing import study_from
from federated.exchange.fingerprint import code_digest
from federated.exchange.norms import tensors_of
from federated.exchange.sharing import WEIGHTS, as_group
from federated.exchange.wire import ALL_SITES, Order
from federated.learning.network import network_of
from federated.methods import check_method, configured_boundary, rules_of, schema_of
from federated.rollout.scenario import scenario_of
from federated.runs.folder import choose_folder, claimed
from server.advice import Advice, tell_plainly
from server.cell import Cell
from server.data_statistics import ask_of_data
from server.grids import SummingGrid, summing
from server.hosts import Host
from server.opening import opened
from server.record import Record
from server.registration import register
from server.relay import Relay
from server.rounds import taken_back
from server.rows import Key
from server.side_by_side import Lanes, SideBySide

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole study on any grid; results go to the run folder."""
    study = study_from(context.run_config)
    cells = study.cells()
    for method, config in study.by_method.items():
        check_method(config, method)
    folder, is_flowers = choose_folder(study.common, new=False), not hasattr(grid, "listener")
    if not study.common.folder:
        folder = claimed(folder)
    if is_flowers:
        tell_plainly()
        # `flwr run` streams this line; results do not travel back by themselves.
        logging.getLogger("flwr").info("Results go to %s", folder.absolute())
    relay = Relay()
    with (
        opened(folder, study, getattr(grid, "listener", None), relay=relay) as record,
        relayed(grid, relay) as lanes,
    ):
        for key in cells:
            taken_back(record, key)
        record.mend()
        order = Order(*cells[0], 0, "", str(folder.absolute()), code_digest(), run=record.run)
        schemas = {method: schema_of(c).digest for method, c in study.by_method.items()}
        hosts = register(grid, record, study, order=order, schemas=schemas)
        named = [site for site, host in hosts.items() if host.named]
        vaults = study.common.engine.vaults
        advice = Advice(folder.absolute(), record.run, is_flowers, named, vaults)
        start = partial(open_cell, summing(grid), record, hosts, study.by_method, advice)
        if study.common.statistics.ask != "no":
            ask_of_data(start, cells, study)
        if study.common.statistics.ask == "only":
            record.emit("run-ended")
            return
        SideBySide(cells, start, lanes, relay, bool(study.common.calendars)).run()
        record.emit("run-ended")


@contextmanager
def relayed(grid: Grid, relay: Relay) -> Iterator[Lanes | None]:
    """Yield a grid that serves several cells at a time, its events relayed; None if it does not."""
    if getattr(grid, "lanes", 1) == 1:
        yield None
        return
    lanes: Any = grid
    direct = lanes.listener
    lanes.listener = relay.to(direct)
    try:
        yield lanes
    finally:
        lanes.listener = direct


def open_cell(
    grid: SummingGrid,
    record: Record,
    hosts: Mapping[str, Host],
    by_method: Mapping[str, Config],
    advice: Advice,
    key: Key,
) -> Cell:
    """Return a cell with what its sites are sent in round 1."""
    (method, seed), config = key, by_method[key[0]]
    model = network_of(config, seed)
    boundary, rules = configured_boundary(config, model), rules_of(config)
    state = as_group(model.state_dict(), WEIGHTS)
    for name, tensors in rules.groups(model, boundary, config).items():
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
        advice=advice,
        initial={spec.name: state[spec.name].numpy() for spec in boundary.shared},
        scenario=scenario_of(config.rollout, config.calendars, list(sites)),
        train_images={site: host.train_images for site, host in sites.items()},
        everyone=tuple(hosts) if config.train.pooled else (),
        server_rule=rules.server,
        untrained=untrained(model),
    )


def untrained(model: nn.Module) -> frozenset[str]:
    """Return the tensors of a network that no gradient trains, by ``GROUP/NAME``."""
    tensors = tensors_of(model)
    return frozenset(f"{WEIGHTS}/{n}" for n, tensor in tensors.items() if not tensor.requires_grad)


def pooled(hosts: Mapping[str, Host]) -> dict[str, Host]:
    """Return all sites as one, at the first one's node."""
    first = next(iter(hosts.values()))
    return {ALL_SITES: Host(first.node, sum(host.train_images for host in hosts.values()))}
