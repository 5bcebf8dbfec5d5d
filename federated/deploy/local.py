"""Hospitals on loopback: a SuperLink and a SuperNode a hospital, with TLS and keys, as in earnest.

FOLDER/
  ca.crt, server.crt, server.key   certificates of the SuperLink
  superlink/                       its database and log
  flower/                          FLWR_HOME of whoever starts a run
  hospitals/NAME/key, key.pub      what the SuperLink knows the hospital by
  hospitals/NAME/node              its number there
  hospitals/NAME/vault/            what is private
  hospitals/NAME/log               what its SuperNode says
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from federated.deploy import processes
from federated.deploy.credentials import make_certificates, make_node_key
from federated.deploy.processes import PROGRAMS, environment, free_ports
from federated.errors import UserError
from federated.storage import PRIVATE_FOLDER, write_bytes

LINK = "hospitals"
"""What the SuperLink is called in Flower's configuration."""
START_SECONDS = 120.0
Process = subprocess.Popen[bytes]


@dataclass
class Deployment:
    """The processes of a deployment on loopback, by what they are.

    Attributes:
        folder: Where everything of it lies; absolute.
        hospitals: The node-config of each, beside its site and vault.
        port: Where the SuperLink listens.
        cold: Nodes import anew for every message.
        superlink: Its process; None before it was started.
        nodes: The process of each hospital's SuperNode.
    """

    folder: Path
    hospitals: Mapping[str, Mapping[str, str]]
    port: int
    cold: bool = False
    superlink: Process | None = None
    nodes: dict[str, Process] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """FLWR_HOME of whoever starts a run."""
        return self.folder / "flower"

    def hospital(self, name: str) -> Path:
        """Return the folder of a hospital."""
        return self.folder / "hospitals" / name

    def start_superlink(self) -> None:
        """Start the SuperLink, and wait until it listens."""
        place = self.folder / "superlink"
        words = [
            *("flower-superlink", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--ssl-ca-certfile", str(self.folder / "ca.crt")),
            *("--ssl-certfile", str(self.folder / "server.crt")),
            *("--ssl-keyfile", str(self.folder / "server.key")),
            *("--enable-supernode-auth", "--database", str(place / "state.db")),
            "--disable-runtime-dependency-installation",
        ]
        log = place / "log"
        # It starts a process a run, and looks for one as rarely as Flower means it to.
        variables = environment(place / "flower", FLWR_SUPEREXEC_TASK_POLL_INTERVAL="1")
        self.superlink = processes.start(in_venv(words), log, variables, place)
        processes.await_listener(self.superlink, self.port, log, START_SECONDS)

    def register(self, name: str) -> int:
        """Tell the SuperLink a hospital's public key, once, and return the node's number there."""
        node = self.hospital(name) / "node"
        if not node.exists():
            words = ["supernode", "register", str(self.hospital(name) / "key.pub"), LINK]
            told = self.flwr(*words, "--name", name, "--format", "json")
            write_bytes(node, str(json.loads(told)["node-id"]).encode())
        return int(node.read_text())

    def start_node(self, name: str) -> None:
        """Start a hospital's SuperNode; it keeps trying until the SuperLink takes it."""
        place, own = self.hospital(name), self.hospitals[name]
        config = {"site": name, "vault": str(place / "vault"), **own}
        words = [
            *(sys.executable, "-m", "federated", "node", "run"),
            *("--superlink", f"127.0.0.1:{self.port}"),
            *("--root-certificates", str(self.folder / "ca.crt")),
            *("--auth-supernode-private-key", str(place / "key")),
            *("--port", str(free_ports(1)[0]), "--node-config", node_config(config)),
            *(("--cold",) if self.cold else ()),
        ]
        variables = environment(place / "flower")
        self.nodes[name] = processes.start(words, place / "log", variables, place)

    def ended(self) -> list[str]:
        """Return the hospitals whose SuperNode has ended.

        Raises:
            UserError: the SuperLink has.
        """
        if self.superlink is not None and self.superlink.poll() is not None:
            raise UserError(f"the SuperLink ended; see {self.folder / 'superlink' / 'log'}.")
        return [name for name, process in self.nodes.items() if process.poll() is not None]

    def flwr(self, *words: str, **options: Any) -> str:
        """Return what Flower's own command prints, run against this SuperLink.

        Raises:
            UserError: it failed.
        """
        done: subprocess.CompletedProcess[str] = subprocess.run(
            in_venv(["flwr", *words]),
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            **options,
        )
        if done.returncode:
            said = " ".join(f"{done.stdout} {done.stderr}".split())
            raise UserError(f"flwr {' '.join(words[:2])} failed: {said[:500]}")
        return done.stdout

    def stop(self) -> None:
        """End everything: nodes first, so that none of them looks for a SuperLink that is gone."""
        processes.stop(list(self.nodes.values()))
        if self.superlink is not None:
            processes.stop([self.superlink])


@contextmanager
def opened(
    folder: Path, hospitals: Mapping[str, Mapping[str, str]], *, cold: bool = False
) -> Iterator[Deployment]:
    """Yield a deployment whose SuperLink listens and whose nodes are starting; it ends with us.

    Args:
        folder: New, or that of an earlier deployment, whose keys and vaults are taken up again.
        hospitals: The node-config of each hospital, beside its site and vault.
        cold: Nodes import anew for every message.

    Raises:
        UserError: something of it did not start.
    """
    deployment = Deployment(folder.absolute(), hospitals, free_ports(1)[0], cold)
    lay_out(deployment)
    try:
        deployment.start_superlink()
        for name in hospitals:
            deployment.register(name)
            deployment.start_node(name)
        yield deployment
    finally:
        deployment.stop()


def lay_out(deployment: Deployment) -> None:
    """Make the folders, certificates and keys that are not there yet."""
    folder = deployment.folder
    for place in (folder, folder / "superlink", folder / "hospitals", deployment.home):
        place.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    if not (folder / "server.key").exists():
        make_certificates(folder)
    for name in deployment.hospitals:
        place = deployment.hospital(name)
        place.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        if not (place / "key").exists():
            make_node_key(place / "key")
    link = {
        "address": f"127.0.0.1:{deployment.port}",
        "root-certificates": str(folder / "ca.crt"),
    }
    config = tomli_w.dumps({"superlink": {"default": LINK, LINK: link}})
    write_bytes(deployment.home / "config.toml", config.encode())


def in_venv(words: list[str]) -> list[str]:
    """Return a command with the program that was installed for this Python, as Flower's are."""
    program = PROGRAMS / words[0]
    if not program.exists():
        raise UserError(f"{program} is not there; install Flower: pip install 'flwr[simulation]'.")
    return [str(program), *words[1:]]


def node_config(values: Mapping[str, str]) -> str:
    """Return settings as ``flower-supernode --node-config`` reads them, which knows no escapes.

    Raises:
        UserError: a value holds both kinds of quotation marks.
    """
    words = []
    for name, value in values.items():
        mark = next((mark for mark in "'\"" if mark not in value), "")
        if not mark or (mark == '"' and "\\" in value) or not value.isprintable():
            raise UserError(f"Flower's --node-config cannot hold {name} = {value!r}; rename it.")
        words.append(f"{name}={mark}{value}{mark}")
    return " ".join(words)
