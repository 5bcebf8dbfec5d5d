"""What a site does before a reply leaves: hold it against the site's own policy, not the server's.

A hospital's node has a policy in a file: ``policy = "FILE"`` in its node-config, or ``policy.toml``
in its vault's folder. Without one nothing leaves. In a simulation the run's ``egress.*`` stand for
it. The schema of a method is derived here anew, apart from the code that trains and releases.
"""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, Context, Message

from clients.node import named_sites, received, study_of
from clients.site import cached_site
from federated.config.schema import Config
from federated.config.study import Study
from federated.exchange.fingerprint import code_digest
from federated.exchange.gate import Gate, plain_error
from federated.exchange.policy import Policy, PolicyError, read_policy
from federated.exchange.schema import SCHEMAS, Schema
from federated.methods import schema_of

POLICY_FILE = "policy.toml"


def released(reply: Message, message: Message, context: Context) -> Message:
    """Return a reply made anew of what of ``reply`` may leave.

    Raises:
        EgressError: something is in it that may not leave.
        PolicyError: there is no policy, or it does not allow what the run asks for.
    """
    if reply.has_error():
        return plain_error(message, reply)
    order, study = received(message), study_of(context)
    names, config = named_sites(order, context, study), study.by_method[order.method]
    policy = policy_of(context, study)
    gate = Gate(policy, allowed_schema(policy, config), names, partial(fewest, config))
    content = gate.passed(message.metadata.message_type, reply.content)
    return Message(content, reply_to=message)


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
    return schema


@lru_cache(maxsize=256)
def fewest(config: Config, site: str, split: str) -> int:
    """Return how many images the rarer class has in a split of a site."""
    labels = np.asarray(cached_site(config, site).split(split).labels, dtype=np.int64)
    return int(np.bincount(labels, minlength=2).min())
