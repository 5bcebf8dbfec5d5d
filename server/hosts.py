"""Which node hosts which hospital: whom a run waits for, and whom it knew before.

RUN/hospitals.json says which node each hospital of a deployment first registered from. Its number
stands for its key: another node that bears the name later is refused.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from federated.config.study import Study
from federated.data import site_names
from federated.errors import UserError
from federated.exchange.orders import is_name
from federated.runs.folder import RunFolder
from federated.storage import write_bytes


@dataclass(frozen=True)
class Host:
    """Where a site is, and how many training images it has.

    Attributes:
        node: Number of its node.
        train_images: How many it registered with.
        named: Whether the node says by itself who it is, as a hospital's own does; the nodes of a
            simulation are told.
    """

    node: int
    train_images: int
    named: bool = False


class AnyName:
    """All names that a site can have, for replies whose senders are not known yet."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and is_name(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Awaited:
    """Whom registration waits for.

    Attributes:
        names: The run's hospitals; empty: whoever registers.
        count: How many of them there must be.
        from_data: Whether the names are those of the data on this machine, as in a simulation.
        known: The hosts of an earlier start of this run, by hospital.
        fewest: With how many of its known hospitals a run goes on when time is up.
        seconds: How long is waited.
        vaults: ``engine.vaults``.
    """

    names: tuple[str, ...]
    count: int
    from_data: bool
    known: Mapping[str, Host]
    fewest: int
    seconds: float
    vaults: str

    def missing(self, hosts: Mapping[str, Host]) -> list[str]:
        """Return the hospitals that are named and not there."""
        return [name for name in self.names if name not in hosts]

    def is_met(self, hosts: Mapping[str, Host]) -> bool:
        """Return whether all are there."""
        return not self.missing(hosts) and len(hosts) >= self.count

    def are_enough(self, hosts: Mapping[str, Host]) -> bool:
        """Return whether those that are there can go on by themselves with a run begun earlier."""
        return len(hosts) >= self.fewest and set(self.missing(hosts)) <= self.known.keys()


def awaited_by(study: Study, known: Mapping[str, Host]) -> Awaited:
    """Return whom a run waits for: those it knows, those of ``sites``, a number, or the data's."""
    common, engine = study.common, study.common.engine
    is_open = bool(known or common.sites or engine.quorum)
    names = tuple(sorted(known)) or (() if is_open and not common.sites else site_names(common))
    fewest = max(config.server.fewest(len(names)) for config in study.by_method.values())
    return Awaited(
        names,
        len(names) or engine.quorum,
        not is_open,
        known,
        fewest,
        engine.registration,
        engine.vaults,
    )


def known_hosts(files: RunFolder) -> dict[str, Host]:
    """Return the hosts of an earlier start of a deployed run; none of a new one or a simulation.

    Raises:
        UserError: the file is damaged.
    """
    try:
        facts = json.loads(files.hospitals.read_text(encoding="utf-8"))
        return {name: Host(**host) for name, host in facts.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise UserError(
            f"{files.hospitals} is damaged; put it back from a copy. It says which node each "
            "hospital registered from."
        ) from None


def remember(files: RunFolder, hosts: Mapping[str, Host]) -> None:
    """Write down which nodes the hospitals of a deployment are."""
    if any(host.named for host in hosts.values()):
        facts = {name: asdict(host) for name, host in hosts.items()}
        write_bytes(files.hospitals, json.dumps(facts, indent=1).encode())
