"""A hospital's part in secure aggregation; its secrets of a round lie in its vault until the next.

A site masks one release a session, and tells of each peer one of two secrets, never both: with both
the server could read that peer's update.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from flwr.app import ConfigRecord, Message

from clients.protection import digest_of_tensors
from clients.site import Site
from federated.exchange.masked import (
    FEWEST,
    SESSION,
    bytes_release,
    integers_of,
    threshold_of,
)
from federated.exchange.sharing import Release
from federated.exchange.wire import BadOrderError, Report
from federated.learning.training import DivergedError
from federated.masks.keys import KEY_BYTES, Pair, agreed, opened, public_of, sealed
from federated.masks.masking import own_mask, pair_masks
from federated.masks.shares import SHARE_BYTES, split
from federated.storage import write_bytes

FILE = "masking.json"
"""In the vault: the secrets of the present session."""


def plan_of(message: Message) -> dict[str, Any] | None:
    """Return what a message says of its round of masks; None if it is of no such."""
    record = message.content.get(SESSION)
    if record is None:
        return None
    if not isinstance(record, ConfigRecord) or not isinstance(record.get("session"), str):
        raise BadOrderError("the record of masks is none")
    return dict(record)


def keys(site: Site, message: Message) -> Release:
    """Return new public keys; in the same session, those that it has."""
    session = _plan(message)["session"]
    state = _read(site)
    if state.get("session") != session:
        secrets = {name: os.urandom(KEY_BYTES).hex() for name in ("mask", "shares", "seed")}
        state = {"session": session, "site": site.name, **secrets}
        _write(site, state)
    pairs = {f"keys/{name}": public_of(bytes.fromhex(state[name])) for name in ("mask", "shares")}
    return Release({n: bytes_release(n, key).tensors[n] for n, key in pairs.items()})


def shares(site: Site, message: Message) -> Release:
    """Return shares of the site's two secrets, sealed for each of the session's sites."""
    plan = _plan(message)
    state = _state(site, plan)
    sites = _names(site, plan, "sites")
    mine = [public_of(bytes.fromhex(state[name])).hex() for name in ("mask", "shares")]
    peers = {
        name: [mask.hex(), shares.hex()]
        for name, mask, shares in zip(sites, plan["mask_keys"], plan["share_keys"], strict=True)
    }
    if peers[site.name] != mine or state.get("peers", peers) != peers:
        raise BadOrderError("the keys of the session are not those that were sent")
    _write(site, {**state, "peers": peers})
    private = bytes.fromhex(state["shares"])
    parts = [
        split(bytes.fromhex(state[name]), len(sites), threshold_of(len(sites)))
        for name in ("seed", "mask")
    ]
    rows = []
    for place, name in enumerate(sites):
        secret = agreed(private, bytes.fromhex(peers[name][1]))
        text = parts[0][place] + parts[1][place]
        rows.append(sealed(text, Pair(plan["session"], site.name, name), secret))
    return bytes_release("shares/sealed", rows)


def hidden(message: Message, site: Site, released: Release, reports: Sequence[Report]) -> Release:
    """Return a release under masks if the site's settings want it, else as it is.

    Raises:
        BadOrderError: the server wants it otherwise, or a second release under the same masks.
        DivergedError: the release cannot be added up; the server could not tell.
    """
    plan = plan_of(message)
    wanted = site.config.privacy.secure_aggregation and bool(site.boundary.shared)
    if wanted != (plan is not None):
        raise BadOrderError("masks are wanted by the run's settings or by the order, not by both")
    if plan is None:
        return released
    state = _state(site, plan)
    sites = _names(site, plan, "sites")
    digest = digest_of_tensors(released.tensors).hex()
    if state.setdefault("masked", digest) != digest or state.setdefault("with", sites) != sites:
        raise BadOrderError("a second release under the same masks would give both away")
    weight = sum(r.num_examples for r in reports)
    weight = weight if site.config.server.weighting == "examples" else 1
    try:
        arrays = integers_of(released, weight, plan["heaviest"])
    except ValueError as error:
        raise DivergedError(str(error)) from error
    _write(site, state)
    peers = {n: bytes.fromhex(state["peers"][n][0]) for n in sites if n != site.name}
    session = plan["session"]
    own_mask(bytes.fromhex(state["seed"]), session, site.name).apply(arrays)
    for mask in pair_masks(bytes.fromhex(state["mask"]), site.name, peers, session):
        mask.apply(arrays)
    return Release({name: torch.from_numpy(array) for name, array in arrays.items()})


def told(site: Site, message: Message) -> Release:
    """Return this site's share of each peer: of its own mask, or if it is lost of its key.

    Raises:
        BadOrderError: so few have answered, or others than the site told of before.
        BadSharesError: what a peer had sealed was changed.
    """
    plan = _plan(message)
    state = _state(site, plan)
    sites, answered = _names(site, plan, "sites"), _names(site, plan, "answered", among="sites")
    enough = len(answered) >= max(2, threshold_of(len(state["peers"])))
    if not enough or state.get("with") != sites or state.setdefault("told", answered) != answered:
        raise BadOrderError("a second choice of secrets would give an update away")
    _write(site, state)
    private, rows = bytes.fromhex(state["shares"]), []
    for name, text in zip(sites, plan["sealed"], strict=True):
        secret = agreed(private, bytes.fromhex(state["peers"][name][1]))
        both = opened(text, Pair(plan["session"], name, site.name), secret)
        rows.append(both[:SHARE_BYTES] if name in answered else both[SHARE_BYTES:])
    return bytes_release("shares/told", rows)


def _plan(message: Message) -> dict[str, Any]:
    if (plan := plan_of(message)) is None:
        raise BadOrderError("the message is of no round of masks")
    return plan


def _names(site: Site, plan: Mapping[str, Any], field: str, among: str = "") -> list[str]:
    """Return names of sites in a plan: enough of them, sorted, each once."""
    names = list(plan[field])
    inside = not among or set(names) <= set(plan[among])
    if names != sorted(set(names)) or not inside or site.name not in plan["sites"]:
        raise BadOrderError(f"{field} of the session are not names of its sites")
    if len(names) < (2 if among else FEWEST):
        raise BadOrderError(f"{len(names)} sites cannot hide an update from each other")
    return names


def _state(site: Site, plan: Mapping[str, Any]) -> dict[str, Any]:
    state = _read(site)
    if state.get("session") != plan["session"]:
        raise BadOrderError("the session is not the one that the site has keys of")
    return state


def _read(site: Site) -> dict[str, Any]:
    path = site.vault.folder / FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _write(site: Site, state: Mapping[str, Any]) -> None:
    write_bytes(site.vault.folder / FILE, json.dumps(state).encode(), sync=site.vault.is_alone)
