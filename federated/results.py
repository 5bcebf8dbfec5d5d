"""A run as tidy DataFrames; the name under which notebooks know ``federated.runs.reading``."""

from federated.runs.reading import Run, load

__all__ = ["Run", "load"]
