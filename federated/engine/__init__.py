"""Where the clients run: grids on which the one ServerApp meets the one ClientApp."""

from federated.engine.running import check, open_grid, run

__all__ = ["check", "open_grid", "run"]
