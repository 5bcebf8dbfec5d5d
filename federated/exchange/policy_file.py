"""The text of a policy file, as ``consilium policy`` writes it and ``read_policy`` reads it."""

from collections.abc import Iterable, Mapping

import tomli_w

from federated.errors import UserError
from federated.exchange.policy import Policy, written
from federated.exchange.schema import Schema
from federated.exchange.sharing import TensorSpec

_HEAD = """\
# What may leave this hospital. The file is the hospital's own: no server can change it, and
# whatever is not listed here stays. Read it, strike out what shall not leave, and keep it in the
# folder of the node's vault, or name it in the node's settings: policy = "FILE".
"""

_MEANINGS: Mapping[str, str] = {
    "digits": "decimals of every number that is reported; -1: all of them",
    "minimum": "fewest images of the rarer class behind a rate, and of a split behind a count",
    "mantissa-bits": "leading bits kept of the fraction of each shared weight, of 23; 0: all",
    "terms": "further terms of a method's loss that may be reported, by name",
    "code": "digest of the only code that may run here; empty: any",
}


def together(schemas: Iterable[Schema]) -> tuple[TensorSpec, ...]:
    """Return every tensor of some methods once, for one policy of them all.

    Raises:
        UserError: a tensor has one shape under one method and another under another.
    """
    tensors: dict[str, TensorSpec] = {}
    for schema in schemas:
        for spec in schema.tensors:
            if tensors.setdefault(spec.name, spec) != spec:
                raise UserError(
                    f"{spec.name} is {written(tensors[spec.name])} under one method and "
                    f"{written(spec)} under another; write a policy for each."
                )
    return tuple(tensors.values())


def policy_text(policy: Policy) -> str:
    """Return the file of a policy whose tensors are listed."""
    values = {
        "digits": policy.digits,
        "minimum": policy.minimum,
        "mantissa-bits": policy.mantissa_bits,
        "terms": sorted(policy.terms or ()),
        "code": policy.code,
    }
    lines = [
        f"\n# {meaning}\n{tomli_w.dumps({name: values[name]})}"
        for name, meaning in _MEANINGS.items()
    ]
    tensors = {spec.name: written(spec) for spec in policy.tensors or ()}
    return f"{_HEAD}{''.join(lines)}\n{tomli_w.dumps({'tensors': tensors})}"
