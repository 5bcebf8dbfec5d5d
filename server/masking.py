"""Secure aggregation: a round of training of which the server reads the sum and no update.

Four requests (Bonawitz et al., CCS 2017, without the signatures against a server that lies): public
keys; shares of each site's two secrets, sealed for the others; training, whose releases come
masked; and of each site that answered a share of what takes its own mask off, of each that did not
one of what takes its masks with the others off.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord

from federated.exchange.actions import Action
from federated.exchange.exact import ExactSum
from federated.exchange.lengths import Sums
from federated.exchange.masked import (
    FEWEST,
    KEYS,
    checked_sum,
    masked_of,
    sealed_of,
    threshold_of,
    told_of,
)
from federated.exchange.replies import Reply
from federated.exchange.sharing import Boundary
from federated.exchange.wire import Groups, Order
from federated.masks.keys import public_of
from federated.masks.masking import Mask, inverse, own_mask, pair_masks
from federated.masks.shares import joined, weights
from server.asking import Replies, put, request_of
from server.cell import Cell

Plans = Mapping[str, Mapping[str, Any]]
"""What each site is told of the round of masks."""


def train_masked(cell: Cell, orders: Sequence[Order], sent: Groups) -> Replies:
    """Have sites train and return the sum of their releases, of which none is ever read.

    Raises:
        RunStoppedError: too few sites are there, or answer in time to take the masks off.
    """
    if not orders:
        return Replies()
    by_site, number = {order.site: order for order in orders}, orders[0].round
    need(cell, number, len(by_site), FEWEST)
    session = secrets.token_hex(16)
    alike: dict[str, Any] = {"session": session, "heaviest": cell.weight_of_all}

    def stage(action: str, plans: Plans, boundary: Boundary) -> Replies:
        records = {site: ConfigRecord({**alike, **plan}) for site, plan in plans.items()}
        request = request_of(cell, action, sent if action == Action.TRAIN else {})
        is_masked = action == Action.TRAIN
        request = replace(
            request, boundary=boundary, beside=records, summed=is_masked, masked=is_masked
        )
        return put(cell, request, [by_site[site] for site in plans])

    keyed = stage(Action.KEYS, {site: {} for site in by_site}, KEYS)
    public = {site: bytes_in(reply, "keys/mask") for site, reply in keyed.by_site.items()}
    names, least = sorted(public), threshold_of(len(public))
    need(cell, number, len(names), FEWEST)
    told = {"sites": names, "mask_keys": [public[n] for n in names]}
    told["share_keys"] = [bytes_in(keyed.by_site[n], "keys/shares") for n in names]
    shared = stage(Action.SHARES, dict.fromkeys(names, told), sealed_of(len(names)))
    need(cell, number, len(shared.by_site), max(FEWEST, least))
    joint = sorted(shared.by_site)
    plan = {"sites": joint}
    trained = stage(Action.TRAIN, dict.fromkeys(joint, plan), masked_of(cell.boundary))
    answered = sorted(trained.by_site)
    need(cell, number, len(answered), max(2, least))
    place = {name: k for k, name in enumerate(names)}
    plans = {
        site: {
            **plan,
            "answered": answered,
            "sealed": [row(shared.by_site[peer], "shares/sealed", place[site]) for peer in joint],
        }
        for site in answered
    }
    opened = stage(Action.UNMASK, plans, told_of(len(joint)))
    need(cell, number, len(opened.by_site), least)
    masks = left_over(joint, answered, opened, numbers=place, public=public, session=session)
    total = unmasked(cell, number, trained.total, masks)
    return Replies(with_bytes(trained, keyed, shared, opened), {0: total})


def left_over(
    joint: Sequence[str],
    answered: Sequence[str],
    opened: Replies,
    *,
    numbers: Mapping[str, int],
    public: Mapping[str, bytes],
    session: str,
) -> list[Mask]:
    """Return the masks that take off what is left on the sum.

    Args:
        joint: Sites whose masks are in the releases.
        answered: Those of them whose release is in the sum.
        opened: Shares that were told.
        numbers: Place of each site among those that shares were made for.
        public: Public keys of masks.
        session: Of the round.

    Raises:
        ValueError: shares do not fit together.
    """
    counts = weights([numbers[site] + 1 for site in opened.by_site])
    masks: list[Mask] = []
    for column, site in enumerate(joint):
        shares = {
            numbers[owner] + 1: row(reply, "shares/told", column)
            for owner, reply in opened.by_site.items()
        }
        secret = joined(shares, counts)
        if site in answered:
            masks += inverse([own_mask(secret, session, site)])
            continue
        if public_of(secret) != public[site]:
            raise ValueError("the shares are of another key")
        peers = {name: public[name] for name in answered}
        masks += pair_masks(secret, site, peers, session)
    return masks


def unmasked(cell: Cell, round: int, sums: Sums, masks: Sequence[Mask]) -> ExactSum:
    """Return the plain sum.

    Raises:
        RunStoppedError: it is none, because a site has masked wrongly.
    """
    if not sums:
        raise ValueError("a sum of no release cannot be unmasked")
    (total,) = sums.values()
    order = [spec.name for spec in masked_of(cell.boundary).shared]
    arrays = {(name, k): total.parts[name][k] for name in order for k in (0, 1)}
    for mask in masks:
        mask.apply({f"{name}/{k}": array for (name, k), array in arrays.items()})
    try:
        return checked_sum(total)
    except ValueError as error:
        raise cell.stopped(
            round,
            "the masks do not vanish in the sum, so a site has not masked as it should",
            "whichever it is cannot be told. Go on once all run the same software: consilium "
            f"resume {cell.record.folder}",
        ) from error


def need(cell: Cell, round: int, there: int, fewest: int) -> None:
    """Stop the run if too few sites are there for a sum to hide each of them.

    Raises:
        RunStoppedError: there are fewer.
    """
    if there < fewest:
        raise cell.stopped(
            round,
            f"{there} sites are there for secure aggregation, and {fewest} are needed, so that "
            "the sum hides each and its masks can be taken off",
            f"when they are back: consilium resume {cell.record.folder}",
        )


def with_bytes(trained: Replies, *others: Replies) -> dict[str, Reply]:
    """Return the replies of training with the bytes of the other requests added."""
    by_site = {}
    for site, reply in trained.by_site.items():
        more = [each.by_site[site] for each in others if site in each.by_site]
        down = reply.bytes_down + sum(each.bytes_down for each in more)
        up = reply.bytes_up + sum(each.bytes_up for each in more)
        payload = replace(reply.payload, bytes=up)
        by_site[site] = replace(reply, bytes_down=down, payload=payload)
    return by_site


def bytes_in(reply: Reply, name: str) -> bytes:
    """Return a tensor of bytes in a reply."""
    return reply.arrays[name].tobytes()


def row(reply: Reply, name: str, place: int) -> bytes:
    """Return a row of a tensor of bytes in a reply."""
    rows = np.asarray(reply.arrays[name], np.uint8)
    return bytes(rows[place].tobytes())
