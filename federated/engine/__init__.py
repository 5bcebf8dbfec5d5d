"""Where the clients run: grids on which the one ServerApp meets the one ClientApp.

Importing this package imports nothing: ``engine.ray.start`` starts Ray while torch and Flower
are still being imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from federated.engine.checking import check
    from federated.engine.running import carry_out, open_grid, run

SERVER_APP, CLIENT_APP = "server.app:app", "clients.app:app"
"""The one server and the one client, by reference: ``package.module:name``."""
HOMES = {"check": "checking", "carry_out": "running", "open_grid": "running", "run": "running"}

__all__ = ["carry_out", "check", "open_grid", "run"]


def __getattr__(name: str) -> Any:
    """Return what the package offers, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from federated.lazy import without_collector

    with without_collector():
        return getattr(import_module(f"federated.engine.{HOMES[name]}"), name)
