"""Which node each site keeps to, where every node has its vaults on a disk of its own.

A site's home is the node that holds its vault, or one of several that see it in one folder; a site
that has none yet gets a node by turns. A node
that is lost takes the vaults of its sites along: the run then stops and says whose they are, and
goes on as soon as a node has them, the old one or another to which they were copied.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, islice, zip_longest
from pathlib import Path

import ray

from federated.config.writing import study_from
from federated.data import site_names
from federated.engine.grid import RunConfig
from federated.engine.ray.cluster import Cluster, room_on
from federated.engine.ray.nodes import Node, looked_at, nodes_of_cluster
from federated.engine.ray.waiting import ANYWHERE
from federated.errors import UserError
from federated.runs.folder import RunFolder
from federated.runs.lineage import Lineage

MOST_NAMED = 8
"""Sites that a sentence names."""


@dataclass(frozen=True)
class Homes:
    """Where workers are and sites belong.

    Attributes:
        workers: Ray's id of the node of each worker.
        of_site: Ray's id of the node of each site, by name, in the order of the sites; empty: sites
            run anywhere.
        folders: Where the vaults of each node are.
        addresses: Of each node.
        resume: How to go on, as a command.
    """

    workers: tuple[str, ...]
    of_site: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    resume: str = ""

    @cached_property
    def _by_number(self) -> tuple[str, ...]:
        return tuple(self.of_site.values())

    def of(self, number: int) -> str:
        """Return the home of a site by its number."""
        return self._by_number[number] if self.of_site else ANYWHERE

    def check(self, node: str) -> None:
        """Stop when a node is no more.

        Raises:
            UserError: naming the node, and the sites whose vaults it holds.
        """
        if any(found["NodeID"] == node and found["Alive"] for found in ray.nodes()):  # type: ignore[no-untyped-call]
            return
        lost = [site for site, home in self.of_site.items() if home == node]
        raise UserError(
            f"the node {self.addresses[node]} left the Ray cluster, and with it the vaults of "
            f"{named(lost)}. Start it again, or copy its {self.folders[node]} to another node; all "
            f"rounds before are saved, go on with: {self.resume}"
        )


def homes_on(
    cluster: Cluster,
    run_config: RunConfig,
    number: int,
    *,
    vaults: str,
    threads: int,
    gpus: float,
) -> Homes:
    """Look at the nodes of a cluster of others; return where its workers are and sites belong.

    Args:
        cluster: This process is connected to it.
        run_config: Of the run.
        number: How many workers there shall be.
        vaults: ``engine.vaults``; empty: sites run anywhere.
        threads: CPUs of each worker.
        gpus: GPU share of each.

    Raises:
        UserError: a node does not fit, or the vaults do not fit the nodes.
    """
    anywhere = Homes((ANYWHERE,) * number)
    if not cluster.options:  # our own, on this machine
        return anywhere
    common = study_from(run_config).common
    folder = RunFolder(Path(common.folder))
    run = Lineage.read(folder.lineage).run if common.folder and folder.lineage.exists() else ""
    nodes = looked_at(nodes_of_cluster(), vaults, run, cluster.options)
    if not vaults:
        return anywhere
    return homes_of(
        nodes,
        site_names(common),
        number=number,
        room=lambda node: room_on(node.resources, threads, gpus),
        resume=f"consilium resume {folder.path}",
    )


def homes_of(
    nodes: Sequence[Node],
    sites: Sequence[str],
    *,
    number: int,
    room: Callable[[Node], int],
    resume: str,
) -> Homes:
    """Return where the workers are and the sites belong.

    Args:
        nodes: The cluster's, looked at.
        sites: Names of all sites.
        number: How many workers there shall be.
        room: How many workers a node has room for.
        resume: How to go on, as a command.

    Raises:
        UserError: two nodes have a vault of one site, or a node with vaults gets no worker.
    """
    held = {site: [n for n in nodes if site in n.seen.sites] for site in sites}
    for site, holders in held.items():
        if len({n.seen.folder for n in holders}) > 1:
            where = " and ".join(f"{n.address} ({n.seen.vaults})" for n in holders)
            raise UserError(
                f"two nodes of the Ray cluster have a vault of {site} in this run: {where}. Remove "
                "the older one."
            )
    # One node of each folder comes first, so that every folder gets a worker.
    first = {n.seen.folder: n for holders in held.values() for n in reversed(holders)}
    needed = {node.id for node in first.values()}
    slots = sorted(nodes, key=lambda node: node.id not in needed)
    workers = tuple(islice(_by_turns([[node.id] * room(node) for node in slots]), number))
    for node in first.values():
        if node.id not in workers:
            mine = [site for site, holders in held.items() if node in holders]
            raise UserError(
                f"the node {node.address} holds the vaults of {named(mine)} and gets none of the "
                f"{number} workers; set engine.workers higher, or to 0 for all that there is "
                "room for."
            )
    folder_of = {node.id: node.seen.folder for node in nodes}
    turns = {f: cycle([w for w in workers if folder_of[w] == f]) for f in first}
    anyone = cycle(workers)
    of_site = {
        site: next(turns[holders[0].seen.folder] if holders else anyone)
        for site, holders in held.items()
    }
    return Homes(
        workers,
        of_site,
        {node.id: node.seen.vaults for node in nodes},
        {node.id: node.address for node in nodes},
        resume,
    )


def _by_turns(lists: Sequence[Sequence[str]]) -> list[str]:
    return [item for row in zip_longest(*lists) for item in row if item is not None]


def named(sites: Sequence[str]) -> str:
    """Return the names of some sites, and how many more there are."""
    more = len(sites) - MOST_NAMED
    return ", ".join(sites[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
