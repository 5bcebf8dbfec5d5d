"""Where the clients run: grids on which the one ServerApp meets the one ClientApp."""

from federated.imports import without_collector

# Here, since a Ray worker too begins by importing this package.
with without_collector():
    from federated.engine.running import check, open_grid, run

__all__ = ["check", "open_grid", "run"]
