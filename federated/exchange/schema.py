"""The schema that a site and the server agree on: every tensor that may leave, and no other.

Each side derives it by itself; at registration they compare digests. What a site's own policy does
not allow is not agreed to, whatever the server asks (``federated.exchange.policy``).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from federated.exchange.sharing import TensorSpec

SCHEMAS = "schemas"
"""The record of a registration in which the server names each method's schema by its digest."""
NORMALISATION, MEMORY = "normalisation", "memory"
"""What a ledger counts even where it is nothing: tensors of norms, and of the memory."""


@dataclass(frozen=True)
class Schema:
    """What may leave a site under one method, in the order in which it travels.

    Attributes:
        tensors: Name (``GROUP/NAME``), shape and dtype of each.
        normalisation: The names among them that belong to a normalisation.
    """

    tensors: tuple[TensorSpec, ...] = ()
    normalisation: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> Mapping[str, TensorSpec]:
        """Each tensor's specification."""
        return {spec.name: spec for spec in self.tensors}

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that a release's bytes are counted by, always with norms and memory."""
        kinds = dict.fromkeys(self.kind(spec.name) for spec in self.tensors)
        return tuple(dict.fromkeys([*kinds, NORMALISATION, MEMORY]))

    def kind(self, name: str) -> str:
        """Return what a tensor is counted as: ``normalisation``, else the name of its group."""
        return NORMALISATION if name in self.normalisation else name.partition("/")[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, dtypes and shapes, in their order."""
        rows = [[spec.name, spec.dtype, list(spec.shape)] for spec in self.tensors]
        return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


NOTHING = Schema()
"""The schema of a reply that holds no tensor."""
