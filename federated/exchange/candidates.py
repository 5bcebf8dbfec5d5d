"""CANDIDATES: the models among which a hospital chooses in the end, in the order of preference.

The first one that there is stays, unless another is clearly better on the hospital's validation
images. A new candidate is an entry here, and what makes it one in ``clients/finish.py``.
"""

from collections.abc import Mapping
from types import MappingProxyType

CANDIDATES: Mapping[str, str] = MappingProxyType(
    {
        "own": "the model kept by the method local of the same run and seed, if it ran before",
        "kept": "the federation's model of the round that keep.rule keeps",
        "personalised": "kept, after personalise.epochs on the hospital's own images",
    }
)
