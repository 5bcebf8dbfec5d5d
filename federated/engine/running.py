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
from federated.data import prepare, site_names
from federated.engine import CLIENT_APP, SERVER_APP
from federated.engine.checking import check, check_nodes, check_scenario
from federated.engine.grid import RUN_ID, SERVER_NODE, Listener, LocalGrid, RunConfig
from federated.engine.notebook import Panel, is_notebook
from federated.engine.threads import planned
from federated.runs.folder import choose_folder, claimed
from federated.runs.reading import Run, load

__all__ = ["carry_out", "check", "open_grid", "run"]


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


def run(given: Given, listener: Listener | None = None) -> Run:
    """Check the study that ``given`` describes, run it to its end, and return the run.

    As ``consilium run`` does, but for plots and page, which are ``federated.plots`` and ``consilium
    report``. In a notebook the cell shows how far the run is. A run that is in ``folder`` already
    is gone on with, or returned as it is if it has ended.

    Args:
        given: Dotted settings; ``folder`` decides where results go (runs/NAME-DATE-TIME).
        listener: Called with every event, in place of what a notebook shows.

    Raises:
        UserError: a setting, a network or an image is wrong, or too few sites answered.
    """
    study = parse(given)
    folder = choose_folder(study.common, new=False)
    study = planned(study, folder)
    panel = Panel(study) if listener is None and is_notebook() else None
    check(study)
    prepare(study.common, panel.preparing if panel else None)
    if not study.common.folder:
        folder = claimed(folder)
    carry_out({**given, "folder": str(folder)}, listener or panel)
    return load(folder)


def carry_out(given: Given, listener: Listener | None = None) -> None:
    """Run a study that was checked, and whose images were prepared, to its end.

    Args:
        given: Dotted settings; ``folder`` decides where results go.
        listener: Called with every event.

    Raises:
        UserError: too few sites answered.
    """
    study = rooted(parse(given))
    study = planned(study, Path(study.common.folder) if study.common.folder else None)
    run_config = run_config_of(study)  # all read what was decided here, not what was written
    check_scenario(study)
    with open_grid(study, run_config, listener) as grid:
        context = Context(RUN_ID, SERVER_NODE, {}, RecordDict(), dict(run_config))
        load_app(SERVER_APP)(grid, context)
