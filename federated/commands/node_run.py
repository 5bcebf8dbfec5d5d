"""``consilium node run``: a hospital's SuperNode, with the words that ``node check`` looked at."""

import argparse
import os
import sys
from pathlib import Path

from federated.commands.findings import GOOD, WRONG
from federated.errors import UserError, shown_path


def run(arguments: argparse.Namespace) -> None:
    """Become Flower's SuperNode; this process is it then, and returns no more.

    Raises:
        UserError: Flower is not installed, or what it needs is not there.
    """
    from federated.deploy.local import in_venv
    from federated.deploy.processes import environment
    from federated.deploy.warm import PROGRAM, warmed

    look(arguments)
    words = in_venv(["flower-supernode", *words_of(arguments)])
    home = Path(os.environ.get("FLWR_HOME") or Path.home() / ".flwr").absolute()
    variables = environment(home)
    if not arguments.cold and hasattr(os, "fork"):
        variables = warmed(variables, Path(in_venv([PROGRAM])[0]))
    sys.stdout.flush()
    os.execve(words[0], words, variables)


def look(arguments: argparse.Namespace) -> None:
    """Look at what Flower would answer with a traceback, or not at all.

    Raises:
        UserError: it is wrong; ``node check`` looks at the rest.
    """
    from federated.commands.node import node_config_of
    from federated.commands.node_link import key, port
    from federated.commands.node_places import site

    authority = arguments.root_certificates
    if authority and not authority.expanduser().is_file():
        raise UserError(f"--root-certificates {shown_path(authority)} is no file; name ca.crt.")
    own = node_config_of(arguments.node_config)
    taken = [found for found in port(arguments.port) if found.state != GOOD]
    looked = [*key(arguments.key.expanduser()), *site(own)]
    for found in [*taken, *(found for found in looked if found.state == WRONG)]:
        raise UserError(f"{found.what}: {found.found}. `consilium node check` looks at all.")


def words_of(arguments: argparse.Namespace) -> list[str]:
    """Return what ``flower-supernode`` is told."""
    words = ["--superlink", arguments.superlink, "--node-config", arguments.node_config]
    words += ["--auth-supernode-private-key", str(arguments.key.expanduser())]
    words += ["--host", "127.0.0.1", "--port", str(arguments.port)]
    if arguments.root_certificates:
        words += ["--root-certificates", str(arguments.root_certificates.expanduser())]
    return words
