"""What a site does before a reply leaves: hold it against the site's own policy, not the server's.

A hospital's node has a policy in a file: ``policy = "FILE"`` in its node-config, or ``policy.toml``
in its vault's folder. Without one nothing leaves. In a simulation the run's ``egress.*`` stand for
it. The schema of a method is derived here anew, apart from the code that trains and releases.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict

from clients.masking import plan_of
from clients.node import named_sites, received, study_of, vault_root
from clients.private_folder import VaultError
from clients.site import cached_site
from federated.config.schema import Config
from federated.config.study import Study
from federated.exchange.actions import RELEASING, Action
from federated.exchange.fingerprint import code_digest
from federated.exchange.gate import Gate, plain_error
from federated.exchange.ledger import LedgerError, append, budget_of, bytes_by_kind, payload_of
from federated.exchange.masked import masked_specs, round_specs
from federated.exchange.policy import Policy, PolicyError, read_policy
from federated.exchange.schema import NOTHING, SCHEMAS, Schema
from federated.exchange.wire import ALL_SITES, Order
from federated.methods import schema_of
from federated.runs.folder import LEDGER, SitesFolder

POLICY_FILE = "policy.toml"


def released(reply: Message, message: Message, context: Context) -> Message:
    """Return a reply made anew of what of ``reply`` may leave, once the site's ledger has it.

    Raises:
        VaultError: the ledger cannot be gone on with.
        EgressError: something is in it that may not leave.
        PolicyError: there is no policy, or it does not allow what the run asks for.
    """
    if reply.has_error():
        return plain_error(message, reply)
    order, study = received(message), study_of(context)
    names, config = named_sites(order, context, study), study.by_method[order.method]
    policy = policy_of(context, study)
    action = message.metadata.message_type
    schema = of_action(message, allowed_schema(policy, config), config)
    gate = Gate(policy, schema, names, partial(fewest, config))
    content = gate.passed(action, reply.content)
    facts = noted(content, gate.schema, order, action)
    # Pooled training is no federation: all images are in one process, and nothing leaves anyone.
    for name in names if order.site != ALL_SITES else ():
        vault = SitesFolder(vault_root(context, order)).vault(name, order.method, order.seed)
        try:
            append(vault / LEDGER, facts, sync="vault" in context.node_config)
        except LedgerError as error:
            raise VaultError(str(error)) from error
    return Message(content, reply_to=message)


def of_action(message: Message, schema: Schema, config: Config) -> Schema:
    """Return what the reply to a message may hold, of a method whose releases are ``schema``.

    Under masks it is two integers for each number of it, and keys and shares in their own requests.
    """
    action = message.metadata.message_type
    if not config.privacy.secure_aggregation or not schema.tensors or action not in RELEASING:
        return NOTHING if action in RELEASING and action != Action.TRAIN else schema
    if action == Action.TRAIN:
        return Schema(masked_specs(schema.tensors), schema.normalisation)
    plan = plan_of(message) or {}
    return Schema(round_specs(action, len(plan.get("sites", ()))))


def noted(content: RecordDict, schema: Schema, order: Order, action: str) -> dict[str, Any]:
    """Return what a ledger has of a reply."""
    payload = payload_of(content)
    return {
        "round": order.round,
        "action": action,
        "bytes": bytes_by_kind(content, schema),
        "tensors": payload.tensors,
        "numbers": payload.numbers,
        "budget": budget_of(content),
    }


def agree(message: Message, context: Context) -> None:
    """Compare, for every method of a run, what the server will take with what may leave here.

    Raises:
        PolicyError: the server counts on another schema, or the policy allows less.
    """
    study = study_of(context)
    policy, record = policy_of(context, study), message.content.get(SCHEMAS)
    theirs = dict(record) if isinstance(record, ConfigRecord) else {}
    own = {name: allowed_schema(policy, c).digest for name, c in study.by_method.items()}
    if theirs != own:
        other = sorted(name for name in own if theirs.get(name) != own[name])
        raise PolicyError(f"the server's schema is not this site's, for {', '.join(other)}")


def policy_of(context: Context, study: Study) -> Policy:
    """Return the policy of a node.

    Raises:
        PolicyError: a hospital's node has none, it cannot be read, or allows only other code.
    """
    own = context.node_config
    if "policy" not in own and "site" not in own:
        return Policy.of_simulation(study.common.egress)
    path = Path(str(own.get("policy") or Path(str(own["vault"])) / POLICY_FILE))
    try:
        status = path.stat()
    except OSError as error:
        raise PolicyError(f"there is no policy {path}; nothing leaves without one") from error
    policy = _read(path, status.st_mtime_ns, status.st_size)
    if policy.code and policy.code != code_digest():
        raise PolicyError(f"{path} allows the code {policy.code}, and here is {code_digest()}")
    return policy


@lru_cache(maxsize=8)
def _read(path: Path, changed: int, size: int) -> Policy:
    return read_policy(path)


@lru_cache(maxsize=64)
def allowed_schema(policy: Policy, config: Config) -> Schema:
    """Return what may leave under a method, all of it allowed by the policy.

    Raises:
        PolicyError: the method would have more leave.
    """
    schema = schema_of(config)
    policy.check(schema)
    if config.privacy.secure_aggregation and policy.mantissa_bits:
        raise PolicyError("the policy rounds weights, and masked ones cannot be rounded")
    return schema


@lru_cache(maxsize=256)
def fewest(config: Config, site: str, split: str) -> int:
    """Return how many images the rarer class has in a split of a site."""
    labels = np.asarray(cached_site(config, site).split(split).labels, dtype=np.int64)
    return int(np.bincount(labels, minlength=config.data.class_count).min())
