"""What a node shows the SuperLink and asks of it: its key, the certificate, and the way there."""

import http.client
import re
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from federated.commands.findings import GOOD, SLOW, WRONG, Finding
from federated.errors import UserError, shown

SOON = timedelta(days=30)
"""Before a certificate ends, in which it should be renewed."""
SECONDS = 10.0
"""For a connection, and for a handshake."""
NEW_KEY = "make one: ssh-keygen -t ecdsa -b 384 -N '' -f"
OTHER_HOST = "write --superlink as the certificate names the server, or have it made for this name"
REFUSED = {
    9: "is the clock of this machine right?",
    10: "the server needs a new one, or this machine's clock is wrong",
    62: OTHER_HOST,
    64: OTHER_HOST,
}
"""What to do, by OpenSSL's codes of X509_V_ERR: dates, and a host that does not match."""
STRANGER = (
    "--root-certificates must be the authority that signed it, and no proxy may open the connection"
)
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>\d{1,5})")


def key(path: Path) -> Iterator[Finding]:
    """Yield whether a node's private key is one that Flower takes, and is this user's alone."""
    try:
        status, content = path.stat(), path.read_bytes()
        private = load_ssh_private_key(content, None)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        advice = f"{NEW_KEY} {path}" if missing else "run this as the node's user"
        text = f"{path} cannot be read ({error.strerror}); {advice}"
        yield Finding(WRONG, "key", text)
        return
    except (ValueError, TypeError, UnsupportedAlgorithm):
        text = f"{path} is no OpenSSH private key without a passphrase; {NEW_KEY} {path}"
        yield Finding(WRONG, "key", text)
        return
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        yield Finding(WRONG, "key", f"{path}: Flower takes ECDSA keys only; {NEW_KEY} {path}")
    elif stat.S_IMODE(status.st_mode) & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        text = f"{path} is open to other users (mode {mode:03o}); chmod 600 {path}"
        yield Finding(WRONG, "key", text)
    else:
        yield _public(path, private)


def _public(path: Path, private: ec.EllipticCurvePrivateKey) -> Finding:
    """Return whether the key beside the private one, which the server registers, belongs to it."""
    beside = path.with_name(f"{path.name}.pub")
    again = f"write it anew: ssh-keygen -y -f {path} > {beside}, and have the server register it"
    try:
        public = load_ssh_public_key(beside.read_bytes())
    except OSError:
        return Finding(SLOW, "key", f"{path}: good; {beside} is not there; {again}")
    except (ValueError, UnsupportedAlgorithm):
        return Finding(WRONG, "key", f"{beside} is no public key; {again}")
    if public != private.public_key():
        return Finding(WRONG, "key", f"{beside} does not belong to {path}; {again}")
    return Finding(GOOD, "key", f"{path}: {private.curve.name}, mode 600; {beside} belongs to it")


def link(address: str, authority: Path | None) -> Iterator[Finding]:
    """Yield whether the SuperLink can be reached, and shows a certificate that holds.

    Args:
        address: ``HOST:PORT``, of an IPv6 address ``[HOST]:PORT``.
        authority: Certificates in PEM that the server's must come from; None: the system's.

    Raises:
        UserError: the address is none.
    """
    host, port = _host_and_port(address)
    yield from _proxies()
    context = ssl.create_default_context()
    if authority is not None:
        found = list(_authority(authority))
        yield from found
        if any(one.state == WRONG for one in found):
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as Flower's, which trusts these alone
        context.load_verify_locations(cafile=str(authority))
    try:
        connection = _connected(host, port)
    except (OSError, http.client.HTTPException) as error:
        advice = "allow outbound TCP to it, or set HTTPS_PROXY"
        yield Finding(WRONG, "SuperLink", f"{address} cannot be reached ({error}); {advice}")
        return
    way = f" by the proxy {_proxy_of(host)}" if _proxy_of(host) else ""
    yield Finding(GOOD, "SuperLink", f"{address} can be reached{way}")
    with connection:
        yield _certificate(connection, context, host)


def port(number: int) -> Iterator[Finding]:
    """Yield whether a port of this machine alone is free for what the node starts."""
    if not 0 < number < 65536:
        yield Finding(WRONG, "port", f"{shown(number)} is none; give one from 1 to 65535")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            text = f"127.0.0.1:{number} cannot be had ({error.strerror}): by this node, if it runs "
            yield Finding(SLOW, "port", f"{text}already; else stop what has it, or give --port")
        else:
            yield Finding(GOOD, "port", f"127.0.0.1:{number} is free for what the node starts")


def _host_and_port(address: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise UserError(
            f"--superlink {shown(address)} is no HOST:PORT; write it without https:// and path."
        )
    return match["six"] or match["host"], int(match["port"])


def _authority(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with the dates of each certificate in a file, or that all hold."""
    try:
        known = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no certificate in PEM"
        text = f"{path} cannot be read ({why}); get the server's ca.crt again"
        yield Finding(WRONG, "authority", text)
        return
    now = datetime.now(UTC)
    for one in known:
        begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
        if now < begins:
            text = f"{path} is valid only from {begins:%Y-%m-%d %H:%M} UTC on; is the clock right?"
            yield Finding(WRONG, "authority", text)
        else:
            yield _dated("authority", f"{path}", ends - now, ends)


def _dated(what: str, whose: str, left: timedelta, ends: datetime) -> Finding:
    """Return whether something that ends has ended, will soon, or holds."""
    if left < timedelta(0):
        text = f"{whose} ended on {ends:%Y-%m-%d}; ask the server for a new one"
        return Finding(WRONG, what, text)
    if left < SOON:
        return Finding(SLOW, what, f"{whose} ends on {ends:%Y-%m-%d}; have it renewed before")
    return Finding(GOOD, what, f"{whose} holds until {ends:%Y-%m-%d}")


def _proxy_of(host: str) -> str:
    """Return the proxy that the environment sets for HTTPS, which Flower uses too, or nothing."""
    proxies = getproxies()
    return "" if proxy_bypass(host) else proxies.get("https") or proxies.get("all") or ""


def _proxies() -> Iterator[Finding]:
    """Yield whether a proxy would be asked for this machine itself: a node talks to itself."""
    if {"http", "all"} & getproxies().keys() and not proxy_bypass("127.0.0.1"):
        text = "a node would ask HTTP_PROXY for itself; set NO_PROXY=127.0.0.1,localhost"
        yield Finding(WRONG, "proxy", text)


def _connected(host: str, port: int) -> socket.socket:
    """Return a connection, by the environment's proxy if there is one."""
    proxy = urlsplit(_proxy_of(host))
    if not proxy.hostname:
        return socket.create_connection((host, port), SECONDS)
    tunnel = http.client.HTTPConnection(proxy.hostname, proxy.port or 80, timeout=SECONDS)
    tunnel.set_tunnel(host, port)
    tunnel.connect()
    connection: socket.socket = tunnel.sock
    return connection


def _certificate(connection: socket.socket, context: ssl.SSLContext, host: str) -> Finding:
    """Return whether the server's certificate is of the authority, for this host, and of today."""
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            shown_there = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        why, advice = error.verify_message.rstrip("."), REFUSED.get(error.verify_code, STRANGER)
        return Finding(WRONG, "certificate", f"the server's is refused: {why}; {advice}")
    except OSError as error:
        text = f"what listens there speaks no TLS ({error}); is the port that of the SuperLink?"
        return Finding(WRONG, "certificate", text)
    ends = ssl.cert_time_to_seconds(str(shown_there["notAfter"]))
    left = timedelta(seconds=ends - time.time())
    whose = f"the server's, for {host},"
    return _dated("certificate", whose, left, datetime.fromtimestamp(ends, UTC))
