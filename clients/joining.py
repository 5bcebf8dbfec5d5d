"""How a hospital meets weights that others have trained: with statistics and memory of its own."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from clients.remembering import filled_memory, memory_state
from clients.resident import fill
from clients.site import Site, private_state
from federated.config.training import Contrast
from federated.exchange.norms import norm_tensors
from federated.exchange.sharing import WEIGHTS, as_group, group, join, private_part
from federated.exchange.wire import Order
from federated.learning.evaluation import recalibrate

Vaulted = tuple[dict[str, Tensor], dict[str, Any], int]
"""Tensors and facts of a version in the vault, and its round; empty ones of round 0 if none."""

LASTING = ("joined", "kept", "scores")
"""Facts that go from version to version: the round a newcomer joined in, the kept model, and the
newest validation scores with their rounds, where the rule of keeping asks for them."""


def arrive(site: Site, order: Order, sent: Mapping[str, Tensor], *, before: int) -> Vaulted:
    """Load the server's weights and the site's private state into the resident model.

    A newcomer that has no private state yet gets some before anything else. It takes nobody's:
    affine parameters and heads are those of round 0, statistics and memory come of its own images.

    Returns:
        What the vault holds of the rounds earlier than ``before``, or the newcomer's new state.
    """
    vaulted, facts, round = site.vault.load(before, order.void, after=order.after)
    fill(site.model, site.tensors, join(group(sent, WEIGHTS), private_state(site, vaulted)))
    # Where nothing is shared, nothing of others has arrived that there is to get used to.
    if order.newcomer and not vaulted and site.boundary.shared and site.can_train:
        facts = {"joined": order.round}
        return settle(site, order, vaulted, facts), facts, order.round
    return vaulted, facts, round


def settle(
    site: Site, order: Order, vaulted: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Fit what is private to the resident model without training, and save it.

    Private batch-norm statistics are re-estimated and the memory is filled, both from the site's
    own training images; of these the labels only mark the memory's entries.

    Returns:
        The private tensors, as in the vault.
    """
    if norm_tensors(site.model, affine=False) & set(site.boundary.private):
        re_estimate(site, order.round)
    state = site.model.state_dict()
    keep = {**vaulted, **as_group(private_part(state, site.boundary), "private")}
    memory = filled_memory(site, order.round)
    if memory is not None:
        keep |= as_group(memory_state(site, memory), "memory")
    save(site, order, keep, facts)
    return keep


def re_estimate(site: Site, round: int) -> None:
    """Re-estimate the resident model's batch-norm statistics on the site's training images."""
    config = site.config
    recalibrate(
        site.model,
        site.images("train"),
        train=config.train,
        limit=config.bn.recalibration_images,
        generator=site.generator(round, "recalibrate"),
        compute=site.compute,
    )


def save(
    site: Site,
    order: Order,
    tensors: Mapping[str, Tensor],
    before: Mapping[str, Any],
    **facts: Any,
) -> None:
    """Write the order's version of the vault.

    Args:
        site: Whose vault.
        order: Names the round.
        tensors: What to write.
        before: Facts of the version that this one comes from; the lasting ones are handed on.
        **facts: Further facts.
    """
    whole = {**facts, **lasting(before)}
    site.vault.save(order.round, tensors, whole, keep_all=order.keep_all)


def note(site: Site, order: Order, before: Mapping[str, Any], **facts: Any) -> None:
    """Write other facts of the order's version, whose tensors stay; arguments as for ``save``."""
    site.vault.note(order.round, {**facts, **lasting(before)})


def lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that go from version to version."""
    return {name: facts[name] for name in LASTING if name in facts}


def warmed_up(contrast: Contrast, facts: Mapping[str, Any]) -> bool:
    """Return whether the memory need not warm up: a newcomer's was filled when it joined."""
    return contrast.memory_size > 0 and "joined" in facts
