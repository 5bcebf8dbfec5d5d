"""``consilium node check`` and ``run``: whether a hospital's node could join, and the node itself.

Both take the words that ``flower-supernode`` takes, so that what was checked is what is started.
"""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from federated.commands.findings import GOOD, SLOW, WRONG, Finding, concluded
from federated.errors import UserError, shown

OWN_KEYS = ("site", "vault", "policy")
"""Of a hospital's node-config, beside settings of Consilium."""
DIGEST = re.compile(r"[0-9a-f]{12,64}")


def add(commands: Any) -> None:
    """Add the group ``node`` to the command's subparsers."""
    group = commands.add_parser("node", help="what a hospital does before its node joins")
    verbs = group.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser(
        "check",
        help="keys, certificate, data, vault, policy, versions, code and the way to the SuperLink; "
        "exit status 1 if something is wrong",
        epilog="example: consilium node check --superlink HOST:PORT --root-certificates ca.crt "
        '--auth-supernode-private-key key --node-config \'site="north" vault="/srv/vault" '
        'data.folder="/srv/ct"\'; the words are those of flower-supernode',
    )
    _add_words(check)
    check.add_argument(
        "--code",
        metavar="DIGEST",
        help="what `consilium doctor` prints at the server after `digest`",
    )
    check.set_defaults(call=_check)
    run = verbs.add_parser(
        "run",
        help="Flower's SuperNode, which imports once and not for every message",
        epilog="example: consilium node run with the words of consilium node check; Ctrl-C ends "
        "it. As a service: docs/DEPLOY.md",
    )
    _add_words(run)
    run.add_argument(
        "--cold",
        action="store_true",
        help="import anew for every message: seconds more for each, and 300 MB less in between",
    )
    run.set_defaults(call=_run)


def _add_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--superlink", required=True, metavar="HOST:PORT", help="of the server")
    parser.add_argument(
        "--root-certificates",
        type=Path,
        metavar="FILE",
        help="the authority that signed the server's certificate (those of this system)",
    )
    parser.add_argument(
        "--auth-supernode-private-key",
        dest="key",
        type=Path,
        required=True,
        metavar="FILE",
        help="this node's own key; FILE.pub is what the server registers",
    )
    parser.add_argument("--node-config", required=True, metavar="'NAME=\"VALUE\" ...' | FILE")
    parser.add_argument(
        "--port",
        type=int,
        default=9094,
        help="of this machine, for the processes that the node starts (9094)",
    )


def _run(arguments: argparse.Namespace) -> None:
    from federated.commands.node_run import run

    run(arguments)


def _check(arguments: argparse.Namespace) -> int:
    if arguments.code is not None and not DIGEST.fullmatch(arguments.code):
        raise UserError(
            f"--code {shown(arguments.code)} is no digest of 12 to 64 digits 0-9 and a-f; run "
            "consilium doctor at the server and copy what it prints after `digest`."
        )
    own = node_config_of(arguments.node_config)
    print("looking at keys, certificates, folders and images …", flush=True)
    return concluded(_examined(arguments, own))


def _examined(arguments: argparse.Namespace, own: Mapping[str, Any]) -> Iterator[Finding]:
    from federated.commands import machine, node_link, node_places

    yield from machine.versions()
    yield from code(arguments.code)
    yield from node_link.key(arguments.key.expanduser())
    authority = arguments.root_certificates
    yield from node_link.link(arguments.superlink, authority and authority.expanduser())
    yield from node_link.port(arguments.port)
    yield from node_places.site(own)
    yield from node_places.vault(own)
    yield from node_places.policy(own)
    yield from node_places.data(own)


def node_config_of(text: str) -> dict[str, Any]:
    """Return a node-config as ``flower-supernode`` reads it.

    Raises:
        UserError: it cannot be read.
    """
    from click import ClickException
    from flwr.common.config import parse_config_args

    try:
        own = parse_config_args([text])
    except (ClickException, ValueError, OSError) as error:
        raise UserError(
            f"--node-config {shown(text)} cannot be read ({type(error).__name__}); write "
            'NAME="VALUE" pairs with spaces between them, texts in quotation marks.'
        ) from None
    if not own:
        raise UserError(f'--node-config {shown(text)} sets nothing; write NAME="VALUE" pairs.')
    return own


def code(wanted: str | None) -> Iterator[Finding]:
    """Yield whether this node's code is the server's, by its digest or the beginning of it."""
    from federated.exchange.fingerprint import code_digest

    here = code_digest()
    if wanted is None:
        text = f"digest {here[:12]}; compare it with the server's: --code DIGEST"
        yield Finding(SLOW, "code", text)
    elif here.startswith(wanted):
        yield Finding(GOOD, "code", f"digest {here[:12]}, as at the server")
    else:
        yield Finding(
            WRONG,
            "code",
            f"digest {here[:12]}, and the server has {wanted[:12]}: install the same release in "
            "both places; a run refuses other code",
        )
