"""``consilium policy``: write a hospital's own list of what may leave it."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.config.study import Study
    from federated.exchange.policy import Policy
    from federated.exchange.schema import Schema


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    policy = commands.add_parser(
        "policy",
        help="write a hospital's own list of what may leave it, for its node",
        epilog="example: consilium policy configs/two-hospitals.toml methods=consilium --to "
        "/srv/vault/policy.toml; a real hospital's node sends nothing without one",
    )
    policy.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    policy.add_argument("--to", type=Path, default=Path("policy.toml"), help="(policy.toml)")
    policy.add_argument("--digits", type=int, default=4, help="decimals of reported numbers (4)")
    policy.add_argument(
        "--minimum",
        type=int,
        default=11,
        help="fewest images of the rarer class behind a rate (11)",
    )
    policy.add_argument(
        "--mantissa-bits",
        type=int,
        default=0,
        help="leading bits kept of the fraction of each shared weight; float32 has 23 (all)",
    )
    policy.add_argument(
        "--any-code",
        action="store_true",
        help="do not bind the policy to the code that is installed now",
    )
    policy.set_defaults(call=_policy)


def _policy(arguments: argparse.Namespace) -> None:
    from federated.commands.data import study_of
    from federated.exchange.policy import PolicyError, parse_policy
    from federated.exchange.policy_file import policy_text
    from federated.methods import schema_of

    if not arguments.to.parent.is_dir():
        raise UserError(f"there is no folder {arguments.to.parent}; make it first.")
    study = study_of(arguments.settings)
    schemas = {name: schema_of(config) for name, config in study.by_method.items()}
    policy = policy_for(
        study,
        digits=arguments.digits,
        minimum=arguments.minimum,
        mantissa_bits=arguments.mantissa_bits,
        any_code=arguments.any_code,
    )
    text = policy_text(policy)
    try:
        parse_policy(text, "the policy")
    except PolicyError as error:
        raise UserError(f"{error}.") from None
    arguments.to.write_text(text, encoding="utf-8")
    for name, schema in schemas.items():
        print(f"{name}: {summary(schema)}")
    print(f"policy: {arguments.to}")


def policy_for(
    study: "Study", *, digits: int, minimum: int, mantissa_bits: int, any_code: bool
) -> "Policy":
    """Return the policy that lets a hospital take part in a run, and in nothing else."""
    from federated.exchange.fingerprint import code_digest
    from federated.exchange.policy import Policy
    from federated.exchange.policy_file import together
    from federated.learning.terms import Proximal
    from federated.methods import rules_of, schema_of

    configs = list(study.by_method.values())
    schemas = [schema_of(config) for config in configs]
    code = "" if any_code else code_digest()
    names = frozenset({Proximal.name, *(t for config in configs for t in rules_of(config).terms)})
    return Policy(digits, minimum, mantissa_bits, names, code, together(schemas))


def summary(schema: "Schema") -> str:
    """Return what may leave under a method: tensors and numbers of each kind, zeros included."""
    counts = dict.fromkeys(schema.kinds, (0, 0))
    for spec in schema.tensors:
        tensors, numbers = counts[schema.kind(spec.name)]
        counts[schema.kind(spec.name)] = tensors + 1, numbers + math.prod(spec.shape)
    return ", ".join(
        f"{kind} {numbers:,} numbers in {tensors} tensors" if tensors else f"{kind} none"
        for kind, (tensors, numbers) in counts.items()
    )
