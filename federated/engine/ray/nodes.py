"""The nodes of a cluster that is joined: whether all can work alike, and what each has.

Each is asked once, before any worker starts. A node that another user's Ray, another Consilium or
another torch runs on would fail later, at one site after the other, or give other bits.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from federated.errors import UserError
from federated.exchange.fingerprint import code_digest

SECONDS = 300.0
"""How long a node may take to answer: it imports Ray and reads Consilium's files."""


@dataclass(frozen=True)
class Seen:
    """What a node says of itself.

    Attributes:
        code: Digest of its Consilium.
        torch: Version of its torch.
        vaults: Where its vaults are, absolute; empty: in the run's folder.
        trouble: Why nothing can be kept there; empty: it can.
        sites: Whose vaults of the run lie there.
        folder: By what the folder of these vaults is known to be the same one for several nodes, as
            where their homes are on one shared disk: its inode and the time of its last change.
    """

    code: str
    torch: str
    vaults: str = ""
    trouble: str = ""
    sites: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True)
class Node:
    """A node of the cluster.

    Attributes:
        id: Ray's name for it.
        address: Where it is, for sentences.
        resources: CPUs and GPUs.
        seen: What it says of itself.
    """

    id: str
    address: str
    resources: Mapping[str, float]
    seen: Seen = field(default=Seen("", ""))


def look(vaults: str, run: str) -> Seen:
    """Look at this machine; runs on each node.

    Args:
        vaults: ``engine.vaults``, as written.
        run: Id of the run, empty before it is born.
    """
    known = code_digest(), version("torch")
    if not vaults:
        return Seen(*known)
    place = place_of(vaults)
    if not place.is_absolute():
        return Seen(*known, str(place), "is not an absolute path there")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return Seen(*known, str(place), f"cannot be made there: {error.strerror}")
    if not os.access(place, os.W_OK):
        return Seen(*known, str(place), "cannot be written to there")
    own = place / run
    if not run or not own.is_dir():
        return Seen(*known, str(place))
    sites, facts = sorted(path.name for path in own.iterdir()), own.stat()
    return Seen(*known, str(place), "", tuple(sites), f"{facts.st_ino}-{facts.st_ctime_ns}")


def place_of(vaults: str) -> Path:
    """Return where this machine's vaults are: ``~`` and ``$NAME`` are what they are here."""
    return Path(os.path.expandvars(vaults)).expanduser()


def nodes_of_cluster() -> list[Node]:
    """Return the nodes that are alive and can work, in the order of their addresses."""
    alive = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]  # type: ignore[no-untyped-call]
    found = [
        Node(n["NodeID"], f"{n['NodeManagerAddress']}:{n['NodeManagerPort']}", n["Resources"])
        for n in alive
    ]
    return sorted(found, key=lambda node: node.address)


def looked_at(
    nodes: Sequence[Node], vaults: str, run: str, options: Mapping[str, Any]
) -> list[Node]:
    """Return the nodes with what each says of itself.

    Args:
        nodes: Whom to ask.
        vaults: ``engine.vaults``.
        run: Id of the run, empty before it is born.
        options: What a process of ours needs on each node, as options of a Ray task.

    Raises:
        UserError: one does not answer, or does not fit.
    """
    asked = []
    for node in nodes:
        there: Any = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task: Any = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there, **options)(
            look
        )
        asked.append(task.remote(vaults, run))
    return [_answer(node, reference) for node, reference in zip(nodes, asked, strict=True)]


def _answer(node: Node, reference: Any) -> Node:
    try:
        seen: Seen = ray.get(reference, timeout=SECONDS)
    except (RayError, ImportError) as error:
        said = " ".join(str(error).split())[-200:]
        raise UserError(
            f"the node {node.address} of the Ray cluster cannot run Consilium: {said}. Install the "
            f"same Python environment there as here ({sys.prefix})."
        ) from error
    here = Seen(code_digest(), version("torch"))
    if seen.code != here.code:
        raise UserError(
            f"the node {node.address} of the Ray cluster has another Consilium: its code's digest "
            f"is {seen.code[:12]}, this one's {here.code[:12]}. Install the same there and here."
        )
    if seen.torch != here.torch:
        raise UserError(
            f"the node {node.address} of the Ray cluster has torch {seen.torch}, and this machine "
            f"has {here.torch}: the bits would depend on the node. Install the same on both."
        )
    if seen.trouble:
        raise UserError(
            f"engine.vaults = '{seen.vaults}' {seen.trouble}, on the node {node.address} of the "
            "Ray cluster; name a folder of the node's own, such as ~/vaults."
        )
    return Node(node.id, node.address, node.resources, seen)
