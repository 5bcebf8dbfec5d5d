"""A hospital at work: train a round, evaluate what the server sent, keep what is private."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from clients.fitting import prepared, private_state_after, report_of
from clients.garbage import garbage
from clients.joining import arrive, note, re_estimate, save, settle
from clients.measuring import keep_by_rule, measure, measured_in_rounds
from clients.protection import accounted, input_of, protected
from clients.site import Site
from federated.exchange.sharing import (
    WEIGHTS,
    Release,
    State,
    as_group,
    group,
    private_part,
    release,
)
from federated.exchange.wire import Order, Report
from federated.learning.views import round_view
from federated.methods import rules_of
from federated.methods.seam import Arrived, Outcome
from federated.rollout.scenario import inside


def train(
    sites: Sequence[Site], order: Order, sent: Mapping[str, Tensor]
) -> tuple[Release, list[Report]]:
    """Train one site for a round from what the server sent.

    What is private is kept, what is shared released.
    """
    [site] = sites
    site = site.at(order.week)
    vaulted, facts, _ = arrive(site, order, sent, before=order.round)
    began = input_of(site)
    if site.can_train:
        round = prepared(site, order, sent, vaulted, facts)
        rule = rules_of(site.config).site
        outcome = rule(round) if rule else Outcome(round.fit())
        save(site, order, private_state_after(site, round, outcome), facts)
        report, extra = report_of(site, order, round, outcome.trained), outcome.released
    else:
        save(site, order, vaulted, facts)
        report, extra = idle(site), unchanged(site)
    released = release(site.model.state_dict(), site.boundary, extra)
    released = protected(site, order, sent, released)
    report = accounted(site, order, report, input=began, leaves=True)
    if inside(site.hospital.garbage, order.week):
        released = garbage(site, order.round, sent, released)
    return released, [report]


def train_frozen(site: Site, order: Order, sent: Mapping[str, Tensor]) -> list[Report]:
    """Train one round with what is shared held fast: only what is private learns.

    Where no private tensor can be trained, the statistics and the memory are made anew instead.
    Nothing is released; so the method's own rule, which may count on that, does not run.
    """
    site = site.at(order.week)
    vaulted, facts, _ = arrive(site, order, sent, before=order.round)
    if not site.can_train:
        save(site, order, vaulted, facts)
        return [idle(site)]
    private = set(site.boundary.private)
    if not any(p.requires_grad and n in private for n, p in site.model.named_parameters()):
        settle(site, order, vaulted, facts)
        return [idle(site)]
    began = input_of(site)
    round = prepared(site, order, sent, vaulted, facts)
    with shared_held_fast(site):
        outcome = Outcome(round.fit(), kept=round.kept)
    save(site, order, private_state_after(site, round, outcome), facts)
    report = report_of(site, order, round, outcome.trained)
    return [accounted(site, order, report, input=began, leaves=False)]


def unchanged(site: Site) -> State:
    """Return zeros for the method's own groups, whose tensors are changes."""
    return {
        spec.name: torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype))
        for spec in site.boundary.shared
        if not spec.name.startswith(f"{WEIGHTS}/")
    }


def idle(site: Site) -> Report:
    """Return the report of a round in which nothing was trained; it has no loss to tell."""
    return Report(site.name, "train", "current", 0, {"steps": 0, "images_seen": 0})


def evaluate(site: Site, order: Order, sent: Mapping[str, Tensor]) -> list[Report]:
    """Evaluate the server's weights with the site's own batch norm, recalibrated if so configured.

    Or the site's personal model, if the method gives it one. The model of the round is kept if
    ``keep.rule`` prefers it, by the site's validation images, to earlier ones.
    """
    site = site.at(order.week)
    vaulted, facts, round = arrive(site, order, sent, before=order.round + 1)
    keep, kept = vaulted, group(vaulted, "method")
    if kept and (personal := rules_of(site.config).personal):
        arrived = Arrived(site.model.state_dict(), sent, kept)
        site.model.load_state_dict(dict(personal(arrived)))
    elif site.config.bn.recalibrate and site.can_train:
        re_estimate(site, order.round)
        private = private_part(site.model.state_dict(), site.boundary)
        keep = {**vaulted, **as_group(private, "private")}
    view, splits = round_view(site.config), measured_in_rounds(site.config)
    reports, predictions = measure(site, "current", views=view, splits=splits)
    told = {**facts, **keep_by_rule(site, order, facts, reports, predictions)}
    if keep is not vaulted or round != order.round:
        save(site, order, keep, told, **{"from": round})
    elif told != facts:
        note(site, order, told, **{"from": round})
    return reports


@contextmanager
def shared_held_fast(site: Site) -> Iterator[None]:
    """Let no shared tensor of the resident model change, buffers included; undone at the end."""
    names = set(site.boundary.shared_names)
    parameters = [p for n, p in site.model.named_parameters() if n in names and p.requires_grad]
    buffers = [(b, b.clone()) for n, b in site.model.named_buffers() if n in names]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        # A forward pass in training mode writes into buffers, whatever the gradients are.
        for buffer, arrived in buffers:
            buffer.copy_(arrived)
