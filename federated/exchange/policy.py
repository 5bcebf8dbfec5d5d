"""A site's own policy: the list of what may leave it, in a TOML file of the site's.

digits = 4            # decimals of every number that is reported; -1: all of them
minimum = 11          # fewest images of a class behind a rate, and of a split behind a count
mantissa-bits = 0     # leading bits kept of each shared weight, the rest is rounded; 0: all
terms = []            # further terms of the loss that may be reported, by name
code = ""             # digest of the only code that may run here; empty: any
[tensors]
"weights/conv1.weight" = "float32 16x3x3x3"

In a simulation, where a site has no such file, ``egress.*`` of the configuration stands for it.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from federated.config.boundary import Egress
from federated.exchange.schema import Schema
from federated.exchange.sharing import TensorSpec

_SPEC = re.compile(r"([a-z]+\d*)(?: (\d+(?:x\d+)*))?", re.ASCII)
_TYPES = {"digits": int, "minimum": int, "mantissa-bits": int, "terms": list, "code": str}
_LIMITS = {"digits": (-1, 15), "minimum": (0, 1_000_000), "mantissa-bits": (0, 52)}
MOST_BYTES = 10_000_000
"""Of a policy file."""


class PolicyError(Exception):
    """A policy that is missing or cannot be read, or a run that asks for more than it allows."""


@dataclass(frozen=True)
class Policy:
    """What a site lets leave.

    Attributes:
        digits: Decimals of every number in a report; -1: all of them.
        minimum: Fewest images of the rarer class behind a rate, and of a split behind a count.
        mantissa_bits: Leading bits of the fraction that are kept of each shared float; 0: all.
        terms: Further terms of the loss that may be reported; None: any that a method has.
        code: Digest of the only code that may run; empty: any.
        tensors: What may leave, by ``GROUP/NAME``; None: what the run's configuration shares.
    """

    digits: int = -1
    minimum: int = 0
    mantissa_bits: int = 0
    terms: frozenset[str] | None = None
    code: str = ""
    tensors: tuple[TensorSpec, ...] | None = None

    @classmethod
    def of_simulation(cls, egress: Egress) -> "Policy":
        """Return the policy that a simulation's configuration gives to every site."""
        return cls(egress.digits, egress.minimum, egress.mantissa_bits)

    def check(self, schema: Schema) -> None:
        """Compare what a method would have leave with what may.

        Raises:
            PolicyError: naming the first tensor that may not, or not in this shape and dtype.
        """
        allowed = {spec.name: spec for spec in self.tensors or ()}
        for spec in schema.tensors if self.tensors is not None else ():
            if spec.name not in allowed:
                raise PolicyError(f"the run asks for {spec.name}, which the policy does not list")
            if allowed[spec.name] != spec:
                raise PolicyError(
                    f"the run asks for {spec.name} as {written(spec)}, and the policy allows "
                    f"{written(allowed[spec.name])}"
                )


def read_policy(path: Path) -> Policy:
    """Return the policy in a file.

    Raises:
        PolicyError: there is no such file, it is too large, or as ``parse_policy``.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PolicyError(f"{path} is larger than {MOST_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise PolicyError(f"the policy {path} cannot be read: {error}") from error
    return parse_policy(text, str(path))


def parse_policy(text: str, source: str) -> Policy:
    """Return the policy that a text says; every line of it must be understood.

    Raises:
        PolicyError: something in it is not what it can be.
    """
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise PolicyError(f"{source} is no TOML: {error}") from error
    tensors = table.pop("tensors", None)
    if not isinstance(tensors, dict) or table.keys() != _TYPES.keys():
        raise PolicyError(f"{source} must hold {', '.join(_TYPES)} and [tensors], and no more")
    for name, kind in _TYPES.items():
        low, high = _LIMITS.get(name, (0, 0))
        if type(table[name]) is not kind or (kind is int and not low <= table[name] <= high):
            among = f", or not in {low}..{high}" if kind is int else ""
            raise PolicyError(
                f"{source}: {name} = {table[name]!r:.80} is no {kind.__name__}{among}"
            )
    return Policy(
        table["digits"],
        table["minimum"],
        table["mantissa-bits"],
        frozenset(map(str, table["terms"])),
        table["code"],
        tuple(_spec(source, name, spec) for name, spec in tensors.items()),
    )


def _spec(source: str, name: str, text: object) -> TensorSpec:
    """Return a line of ``[tensors]`` as a specification."""
    match = _SPEC.fullmatch(text) if isinstance(text, str) else None
    if match is None or "/" not in name:
        raise PolicyError(f"{source}: {name} = {text!r:.80} is no dtype with a shape")
    sizes = match[2].split("x") if match[2] else []
    return TensorSpec(name, tuple(int(size) for size in sizes), match[1])


def written(spec: TensorSpec) -> str:
    """Return dtype and shape as a policy file has them: ``float32 16x3x3x3``."""
    return " ".join(filter(None, [spec.dtype, "x".join(map(str, spec.shape))]))
