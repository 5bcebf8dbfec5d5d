"""Differential privacy: what is clipped, what noise is added, and what it has cost so far."""
