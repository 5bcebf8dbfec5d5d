"""Sweeps: grids of settings, run cell by cell; what is kept of each cell, and tables of all."""
