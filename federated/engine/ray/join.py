"""Joining a Ray cluster that someone else has started, in this process or anywhere."""

import os
import socket
from functools import partial
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import ray
from ray._private.services import resolve_ip_for_localhost
from ray.exceptions import AuthenticationError

from federated.engine.ray.cluster import Cluster, paths_of_this_process
from federated.engine.ray.own import QUIET, read_token
from federated.errors import UserError

SECONDS = 5.0
"""How long a cluster may take to say that it is there; Ray itself would try for minutes."""
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"


def borrow(address: str) -> Cluster:
    """Use the cluster that this process is connected to already, and leave it as it is.

    Raises:
        UserError: it is not the one at ``address``.
    """
    connected = ray.get_runtime_context().gcs_address
    if address not in ("", "auto", connected):
        raise UserError(
            f"engine.address = '{address}', but this process is connected to the Ray cluster at "
            f"{connected}; call ray.shutdown() before, or leave engine.address empty to use that."
        )
    return Cluster(lambda: None, options=_options())


def join(address: str) -> Cluster:
    """Join the cluster at ``address``: HOST:PORT, ray://HOST:PORT or auto.

    Its token, if it wants one, is what Ray's own variables say: RAY_AUTH_TOKEN, or the file
    RAY_AUTH_TOKEN_PATH.

    Raises:
        UserError: there is none, it does not let us in, or it has other versions.
    """
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    read_token()
    if address != "auto":
        probe(address)
    try:
        ray.init(address, **QUIET)
    except AuthenticationError as error:
        raise locked(address) from error
    except ConnectionError as error:
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.") from error
    except (RuntimeError, OSError) as error:
        ray.shutdown()
        said = " ".join(str(error).split())[:300]
        raise UserError(f"engine.address = '{address}': it cannot be joined. {said}") from error
    return Cluster(ray.shutdown, options=_options())


def _options() -> dict[str, object]:
    return {"runtime_env": {"env_vars": {"PYTHONPATH": paths_of_this_process()}}}


def locked(address: str) -> UserError:
    """Return the error that the cluster wants a token, and ours is not it."""
    given = "another than RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else "a token"
    return UserError(
        f"engine.address = '{address}': the Ray cluster there wants {given}; set RAY_AUTH_TOKEN to "
        "the one with which it was started."
    )


def probe(address: str) -> None:
    """Ask whatever listens at an address whether it is the head of a Ray cluster.

    Raises:
        UserError: nothing listens, it is something else, or it wants another token.
    """
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        raise UserError(f"engine.address = '{address}': no Ray cluster answers there.") from error
    token = os.environ.get("RAY_AUTH_TOKEN", "")
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH") if not token else None:
        token = _token_in(path)
    with grpc.insecure_channel(
        f"{host}:{port}", options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        ask = partial(channel.unary_unary(ALIVE), b"", timeout=SECONDS)
        try:
            ask(metadata=[("authorization", f"Bearer {token}")] if token else None)
        except grpc.RpcError as error:
            code = error.code()
            if code == grpc.StatusCode.UNAUTHENTICATED:
                raise locked(address) from error
            # A Ray client's server, ray://, knows other questions than the head of a cluster.
            if code != grpc.StatusCode.UNIMPLEMENTED or not address.startswith("ray://"):
                raise UserError(
                    f"engine.address = '{address}': something listens there, but it is no Ray "
                    "cluster."
                ) from error


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(
            f"engine.address = '{address}': it must be HOST:PORT, ray://HOST:PORT, auto, or empty."
        )
    # As Ray does it: a cluster's machines must reach each other, so to it none is "localhost".
    return resolve_ip_for_localhost(host.strip("[]")), int(port)


def _token_in(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise UserError(f"RAY_AUTH_TOKEN_PATH = '{path}' cannot be read.") from error
