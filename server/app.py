"""The Flower ServerApp: register the hospitals, then run every method with every seed."""

import logging
import time
from collections.abc import Mapping, Sequence

from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from federated.config.schema import Config
from federated.config.study import Study, parse
from federated.config.writing import parse_run_config, to_toml
from federated.data import site_names
from federated.errors import UserError
from federated.exchange.actions import Action
from federated.exchange.fingerprint import code_digest
from federated.exchange.sharing import WEIGHTS, as_group
from federated.exchange.wire import Order, pack_order, unpack_reports
from federated.learning.network import check_network, network_of
from federated.methods import configured_boundary, rules_of
from federated.rollout.scenario import scenario_of
from federated.runs.environment import environment
from federated.runs.folder import choose_folder
from server.asking import Cell, by_group
from server.record import Record
from server.rounds import run_cell

app = ServerApp()

REGISTRATION_SECONDS = 120.0
"""How long to wait for all sites to appear."""
POLL_SECONDS = 0.2


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the whole study on any grid; results go to the run folder."""
    study = parse(parse_run_config(context.run_config))
    folder = choose_folder(study.common, new=False)
    record = Record.open(folder, to_toml(study), environment(), getattr(grid, "listener", None))
    if not hasattr(grid, "listener"):
        # `flwr run` streams this line; results do not travel back by themselves.
        logging.getLogger("flwr").info("Results go to %s", folder.absolute())
    nodes, images = register(grid, study, record)
    for method, seed in study.cells():
        run_cell(open_cell(grid, record, study.by_method[method], method, seed, nodes, images))
    record.emit("run-ended")


def register(grid: Grid, study: Study, record: Record) -> tuple[dict[str, int], dict[str, int]]:
    """Return every site's node and number of training images, once all of them have answered.

    A node may host several sites; each site gets messages of its own.

    Raises:
        UserError: sites are missing, unknown, or two nodes say that they are the same site.
    """
    expected = site_names(study.common)
    found: dict[str, tuple[int, int]] = {}
    asked: set[int] = set()
    deadline = time.monotonic() + REGISTRATION_SECONDS
    while missing := sorted(set(expected) - set(found)):
        if new := sorted(set(grid.get_node_ids()) - asked):
            asked |= set(new)
            for site, facts in ask_who(grid, study, record, new, expected).items():
                if site in found:
                    raise UserError(f"two nodes say that they are the site {site}.")
                found[site] = facts
        elif time.monotonic() > deadline:
            raise UserError(
                f"{len(asked)} nodes are connected and none is the site {', '.join(missing)}; "
                f"start one with --node-config 'site=\"{missing[0]}\"'."
            )
        else:
            time.sleep(POLL_SECONDS)
    sites = sorted(found)
    return {site: found[site][0] for site in sites}, {site: found[site][1] for site in sites}


def ask_who(
    grid: Grid, study: Study, record: Record, nodes: Sequence[int], expected: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Ask nodes which sites they host and whether they can open them.

    Raises:
        UserError: a node failed, or hosts a site that is not in the run.
    """
    method, seed = study.cells()[0]
    folder = str(record.folder.absolute())
    order = Order(method, seed, 0, "", ",".join(expected), folder, code_digest())
    messages = [
        Message(pack_order(order, {}), node, Action.REGISTER, group_id=str(node)) for node in nodes
    ]
    replies = by_group(grid, messages, study.common.engine.timeout)
    found: dict[str, tuple[int, int]] = {}
    for node in nodes:
        reply = replies.get(str(node))
        if reply is None or reply.has_error():
            why = reply.error.reason if reply is not None else "no answer"
            raise UserError(
                f"a site could not be opened before round 1: {why} (logs: "
                f"{record.folder / 'sites'}/*/site.log)."
            )
        for report in unpack_reports(reply.content):
            if report.site not in expected:
                raise UserError(f"a node says that it is {report.site}, which is not in the run.")
            found[report.site] = node, report.num_examples
            record.emit("site-registered", site=report.site, num_examples=report.num_examples)
    return found


def open_cell(
    grid: Grid,
    record: Record,
    config: Config,
    method: str,
    seed: int,
    nodes: Mapping[str, int],
    images: Mapping[str, int],
) -> Cell:
    """Return a cell with its initial shared weights.

    Raises:
        UserError: the network does not fit the method, such as having no embedding to contrast.
    """
    model = network_of(config, seed)
    check_network(config, model, method)
    boundary = configured_boundary(config, model)
    state = as_group(model.state_dict(), WEIGHTS)
    for name, tensors in rules_of(config).groups(model, boundary).items():
        state |= as_group(tensors, name)
    initial = {spec.name: state[spec.name].numpy() for spec in boundary.shared}
    scenario = scenario_of(config.rollout, config.calendars, list(nodes))
    return Cell(grid, record, config, method, seed, nodes, boundary, initial, scenario, images)
