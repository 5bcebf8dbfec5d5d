"""Run the two apps on the configured engine. The apps are named, not imported: no cycle."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from flwr.app import Context, RecordDict

from federated.config.given import Given
from federated.config.identity import rooted
from federated.config.study import Study, parse
from federated.config.writing import run_config_of
from federated.data import site_names
from federated.engine.checking import check, check_nodes, check_scenario
from federated.engine.grid import RUN_ID, SERVER_NODE, Listener, LocalGrid, RunConfig
from federated.engine.threads import planned

__all__ = ["check", "open_grid", "run"]

SERVER_APP = "server.app:app"
CLIENT_APP = "clients.app:app"


def load_app(reference: str) -> Any:
    """Return the object behind ``package.module:name``."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


@contextmanager
def open_grid(
    study: Study, run_config: RunConfig, listener: Listener | None
) -> Iterator[LocalGrid]:
    """Yield the configured grid with a node per site, and close it afterwards."""
    engine = study.common.engine
    check_nodes(study)
    count = len(site_names(study.common))
    if engine.kind == "inline":
        from federated.engine.inline import InlineGrid

        yield InlineGrid(load_app(CLIENT_APP), run_config, count, listener)
        return
    from federated.engine.ray.grid import RayGrid

    grid = RayGrid(
        CLIENT_APP,
        run_config,
        count,
        workers=engine.workers,
        threads=engine.threads,
        gpus=engine.gpus,
        address=engine.address,
        retries=engine.retries,
        patience=engine.timeout,
        cells=len(study.cells()),
        vaults=engine.vaults,
        listener=listener,
    )
    try:
        yield grid
    finally:
        grid.close()


def run(given: Given, listener: Listener | None = None) -> None:
    """Run the study that ``given`` describes, to its end.

    Args:
        given: Dotted settings; ``folder`` decides where results go.
        listener: Called with every event.

    Raises:
        UserError: a setting is wrong, or too few sites answered.
    """
    study = rooted(parse(given))
    study = planned(study, Path(study.common.folder) if study.common.folder else None)
    run_config = run_config_of(study)  # all read what was decided here, not what was written
    check_scenario(study)
    with open_grid(study, run_config, listener) as grid:
        context = Context(RUN_ID, SERVER_NODE, {}, RecordDict(), dict(run_config))
        load_app(SERVER_APP)(grid, context)
