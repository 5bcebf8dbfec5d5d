"""``consilium deploy --local``: a deployment on this machine, to try out what hospitals will do."""

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError, shown

if TYPE_CHECKING:
    from federated.config.study import Study
    from federated.deploy.local import Deployment

RESTART_SECONDS = 15.0
"""As RestartSec of the units in docs/DEPLOY.md: the SuperLink must first miss a node."""
LOOK_SECONDS = 1.0


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    deploy = commands.add_parser(
        "deploy",
        help="a SuperLink and a SuperNode per hospital on this machine, to try a deployment out",
        epilog="example: consilium deploy --local configs/demo.toml rounds=2; Ctrl-C ends all of "
        "it. Real hospitals: docs/DEPLOY.md",
    )
    deploy.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    deploy.add_argument(
        "--local", action="store_true", help="on the loopback interface of this machine"
    )
    deploy.add_argument(
        "--to",
        type=Path,
        default=Path("deployment"),
        metavar="FOLDER",
        help="where keys, vaults, logs and results go (deployment); one that is there is taken up "
        "again",
    )
    deploy.set_defaults(call=_deploy)


def _deploy(arguments: argparse.Namespace) -> None:
    if not arguments.local:
        raise UserError(
            "consilium deploy needs --local; how hospitals are installed is in docs/DEPLOY.md."
        )
    from federated.data import site_names
    from federated.deploy.local import opened
    from federated.deploy.submission import own_settings, write_run_config

    study, given = _described(arguments.settings)
    folder = arguments.to.absolute()
    own = own_settings(next(iter(study.by_method.values())))
    print(f"starting a SuperLink and its hospitals in {folder}", flush=True)
    with opened(folder, dict.fromkeys(site_names(study.common), own)) as deployment:
        config = write_run_config(deployment.folder, given)
        print(_what_is_there(deployment, config), flush=True)
        _keep(deployment)


def _described(words: list[str]) -> "tuple[Study, dict[str, Any]]":
    """Return the study of at most one .toml file and key=value words, and what they set."""
    from federated.config.given import parse_overrides, read_config
    from federated.config.study import parse

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise UserError(f"{shown(files[1])} is one file too many; give one and key=value words.")
    given = read_config(Path(files[0]) if files else None)
    given = {**given, **parse_overrides(word for word in words if "=" in word)}
    return parse(given), dict(given)


def _what_is_there(deployment: "Deployment", config: Path) -> str:
    """Return what listens where, and how to start a run."""
    lines = [f"SuperLink: 127.0.0.1:{deployment.port}, TLS, known keys only"]
    for name in deployment.nodes:
        log = deployment.hospital(name) / "log"
        lines.append(f"{name}: node {deployment.register(name)}, log {log}")
    home = shlex.quote(str(deployment.home))
    lines += [
        "",
        "Start a run in another terminal, in the folder of Consilium's pyproject.toml:",
        f"  FLWR_HOME={home} flwr run . --stream --run-config {shlex.quote(str(config))}",
        "The same command goes on with a run that was interrupted. Ctrl-C here ends everything.",
    ]
    return "\n".join(lines)


def _keep(deployment: "Deployment") -> None:
    """Start SuperNodes that end again, as systemd does, until we are told to end."""
    due: dict[str, float] = {}
    while True:
        for name in deployment.ended():
            if name not in due:
                due[name] = time.monotonic() + RESTART_SECONDS
                log = deployment.hospital(name) / "log"
                print(f"{name}: its SuperNode ended, see {log}; starting it again", flush=True)
            elif time.monotonic() > due[name]:
                deployment.start_node(name)
                del due[name]
        time.sleep(LOOK_SECONDS)
