"""The settings of a run: declared, read, checked, and written down again. Imports nothing heavy."""

from federated.config.schema import Config
from federated.config.study import Given, Study, parse

__all__ = ["Config", "Given", "Study", "parse"]
