"""A hospital at work: train a round, evaluate what the server sent, keep what is private."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from clients.joining import arrive, re_estimate, save, settle, warmed_up
from clients.measuring import keep_if_better, measure
from clients.remembering import arrived_memory, memory_state
from clients.site import Site
from federated.exchange.sharing import Release, as_group, group, private_part, release
from federated.exchange.wire import Order, Report
from federated.learning.memory import ContrastiveMemory
from federated.learning.training import Trained, learning_rate, make_optimizer, train_round
from federated.rollout.scenario import inside
from federated.seeding import global_torch_seed, seed_for


def train(site: Site, order: Order, sent: Mapping[str, Tensor]) -> tuple[Release, list[Report]]:
    """Train one round from the server's weights; keep what is private, release what is shared."""
    site = site.at(order.week)
    vaulted, facts, _ = arrive(site, order, sent, before=order.round)
    report = learn(site, order, vaulted, facts) if site.can_train else idle(site)
    released = release(site.model.state_dict(), site.boundary)
    if inside(site.hospital.garbage, order.week):
        released = garbage(site, order.round, released)
    return released, [report]


def train_frozen(site: Site, order: Order, sent: Mapping[str, Tensor]) -> list[Report]:
    """Train one round with what is shared held fast: only what is private learns.

    Where no private tensor can be trained, the statistics and the memory are made anew instead.
    Nothing is released.
    """
    site = site.at(order.week)
    vaulted, facts, _ = arrive(site, order, sent, before=order.round)
    if not site.can_train:
        return [idle(site)]
    private = set(site.boundary.private)
    if not any(p.requires_grad and n in private for n, p in site.model.named_parameters()):
        settle(site, order, vaulted, facts)
        return [idle(site)]
    with shared_held_fast(site):
        return [learn(site, order, vaulted, facts)]


def learn(
    site: Site, order: Order, vaulted: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> Report:
    """Train the resident model for one round and keep what is private."""
    config, images = site.config, site.images("train")
    memory = arrived_memory(site, vaulted, images, order.round)
    warm = warmed_up(config.contrast, facts)
    lr = learning_rate(config.train, order.round, config.rounds)
    optimizer = make_optimizer(list(site.model.parameters()), config.train, lr)
    restore_optimizer(optimizer, group(vaulted, "optimizer"))
    others = moon_models(site, group(vaulted, "previous"))
    with global_torch_seed(seed_for(site.seed, site.name, order.round, "layers")):
        trained, memory = train_round(
            site.model,
            images,
            train=config.train,
            contrast=replace(config.contrast, warmup_rounds=0) if warm else config.contrast,
            lr=lr,
            round=order.round,
            generator=site.generator(order.round, "train"),
            compute=site.compute,
            memory=memory,
            others=others,
            optimizer=optimizer,
        )
    state = site.model.state_dict()
    keep = as_group(private_part(state, site.boundary), "private")
    keep |= as_group(memory_state(site, memory), "memory") if memory is not None else {}
    if config.train.optimizer_state == "keep":
        keep |= as_group(optimizer_tensors(optimizer), "optimizer")
    if others:
        keep |= as_group({n: t.detach().cpu() for n, t in state.items()}, "previous")
    if keep:
        save(site, order, keep, facts)
    metrics = training_metrics(trained, memory, order.round)
    return Report(site.name, "train", "current", len(images), metrics)


def idle(site: Site) -> Report:
    """Return the report of a round in which nothing was trained; it has no loss to tell."""
    return Report(site.name, "train", "current", 0, {"steps": 0, "images_seen": 0})


def evaluate(site: Site, order: Order, sent: Mapping[str, Tensor]) -> list[Report]:
    """Evaluate the server's weights with the site's own batch norm, recalibrated if so configured.

    The model of the round is kept if the site's validation images prefer it to earlier ones.
    """
    site = site.at(order.week)
    vaulted, facts, round = arrive(site, order, sent, before=order.round + 1)
    if site.config.bn.recalibrate and site.can_train:
        re_estimate(site, order.round)
        keep = as_group(private_part(site.model.state_dict(), site.boundary), "private")
        save(site, order, {**vaulted, **keep}, facts, **{"from": round})
    reports, predictions = measure(site, "current")
    keep_if_better(site, order, reports, predictions)
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


def garbage(site: Site, round: int, released: Release) -> Release:
    """Return what a broken hospital sends: noise N(0, 1) or NaN in the place of every number.

    Integer tensors, such as batch counters, stay; the site itself goes on unharmed.
    """
    generator = site.generator(round, "garbage")
    is_nan = site.hospital.calendar.garbage_kind == "nan"
    tensors = dict(released.tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
            tensors[name] = torch.full_like(tensor, torch.nan) if is_nan else noise
    return Release(tensors)


def moon_models(site: Site, previous: Mapping[str, Tensor]) -> tuple[nn.Module, ...]:
    """Return MOON's frozen models: what the server sent, and the site's last one (or the same)."""
    if site.config.contrast.objective != "moon":
        return ()
    first = resident_copy(site)
    second = resident_copy(site)
    if previous:
        second.load_state_dict(dict(previous))
    return first, second


def resident_copy(site: Site) -> nn.Module:
    """Return a frozen copy of the resident model in evaluation mode."""
    return copy.deepcopy(site.model).eval().requires_grad_(False)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors: ``PARAMETER.QUANTITY``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value).detach().cpu()
        for index, quantities in state.items()
        for name, value in quantities.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state of ``optimizer_tensors``."""
    if not tensors:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def training_metrics(
    trained: Trained, memory: ContrastiveMemory | None, round: int
) -> dict[str, float]:
    """Return what a round of training reports, memory occupancy included."""
    metrics = {
        "loss": trained.loss,
        "cross_entropy": trained.cross_entropy,
        "contrastive": trained.contrastive,
        "gradient_norm": trained.gradient_norm,
        "steps": trained.steps,
        "images_seen": trained.examples,
    }
    if memory:
        metrics["memory_entries"] = len(memory)
        metrics["memory_age"] = float(memory.ages(round).double().mean())
    return metrics
