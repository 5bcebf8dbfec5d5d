"""Where the clients run: grids on which the one ServerApp meets the one ClientApp."""
