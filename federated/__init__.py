"""What both sides of a Consilium federation agree on: the method, the data and the boundary."""

__version__ = "0.1.0"
