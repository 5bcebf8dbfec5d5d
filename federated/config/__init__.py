"""The settings of a run: declared, read, checked, and written down again. Imports nothing heavy."""

from federated.config.common import Common
from federated.config.given import Given
from federated.config.identity import same_numbers
from federated.config.method import Method
from federated.config.schema import Config
from federated.config.study import Study, parse

__all__ = ["Common", "Config", "Given", "Method", "Study", "parse", "same_numbers"]
