"""Where the clients run."""

from dataclasses import dataclass

from federated.config.fields import setting


@dataclass(frozen=True)
class Engine:
    """Where the clients run. Threads and a GPU change bits, so a run keeps them."""

    kind: str = setting(
        "ray",
        "inline: this process; ray: workers",
        choices=("inline", "ray"),
        changes_bits=False,
    )
    workers: int = setting(0, "Ray workers; 0: one per core and threads", low=0, changes_bits=False)
    threads: int = setting(
        0,
        "torch threads of a client; 0: those that the plan of the run leaves idle, else 1; they "
        "change bits, so a run writes down and keeps what 0 came to",
        low=0,
        high=256,
    )
    gpus: float = setting(
        0.0, "GPU share of a worker, such as 0.25; GPU and CPU differ in bits", low=0, high=64
    )
    address: str = setting(
        "", "address of a running Ray cluster; empty: one of our own", changes_bits=False
    )
    vaults: str = setting(
        "",
        "folder of each node of a Ray cluster for vaults, such as ~/vaults; sites then keep to "
        "their nodes; empty: the run's folder, which all nodes must see",
        changes_bits=False,
    )
    retries: int = setting(
        2, "fresh workers that a site gets when its worker dies or hangs", low=0, changes_bits=False
    )
    timeout: float = setting(
        3600.0,
        "seconds that a round waits for a site that hangs, on all its workers together",
        low=1,
        high=1e8,
        changes_bits=False,
    )
    registration: float = setting(
        120.0,
        "seconds that a run waits for its hospitals to register",
        low=1,
        high=1e8,
        changes_bits=False,
    )
    quorum: int = setting(
        0,
        "hospitals with nodes of their own that must have registered where sites names none; "
        "whoever is there by then takes part",
        low=0,
        changes_bits=False,
    )
    rebind: tuple[str, ...] = setting(
        (),
        "hospitals that may go on with a run from another node, because their key is a new one",
        changes_bits=False,
    )
