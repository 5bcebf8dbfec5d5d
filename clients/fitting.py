"""A round of training at a hospital: what the method's rule is given, and what is kept of it."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from clients.joining import warmed_up
from clients.protection import records_of
from clients.remembering import arrived_memory, memory_state
from clients.site import Site
from federated.exchange.sharing import as_group, group, private_part
from federated.exchange.wire import Order, Report
from federated.learning.batches import Batch, Images, round_batches
from federated.learning.memory import ContrastiveMemory
from federated.learning.optimizers import (
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from federated.learning.terms import (
    Contrast,
    ModelContrast,
    Proximal,
    Term,
    contrast_of_embeddings,
    cross_entropy,
)
from federated.learning.training import Trained
from federated.methods.seam import Outcome, SiteRound
from federated.seeding import seed_for


def prepared(
    site: Site,
    order: Order,
    sent: Mapping[str, Tensor],
    vaulted: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> SiteRound:
    """Return the round as the method's rule is given it.

    Args:
        site: The hospital, its resident model as it shall begin.
        order: Names the round.
        sent: What the server sent, by ``GROUP/NAME``.
        vaulted: Tensors of the newest version in the vault.
        facts: Its facts.
    """
    config, images = site.config, site.images("train")
    lr = learning_rate(config.train, order.round, config.rounds)
    optimizer = make_optimizer(list(site.model.parameters()), config.train, lr)
    restore_optimizer(optimizer, group(vaulted, "optimizer"))
    for parameters in optimizer.param_groups:
        parameters["lr"] = lr

    records = records_of(site, order)

    def batches() -> Iterator[Batch]:
        generator = site.generator(order.round, "train")
        if records is not None:
            return records.batches(generator, site.compute.device)
        return round_batches(images, config.train, generator, site.compute.device)

    return SiteRound(
        model=site.model,
        config=config,
        number=order.round,
        lr=lr,
        sent=sent,
        kept=group(vaulted, "method"),
        terms=terms_of(site, order, vaulted, facts, images),
        optimizer=optimizer,
        batches=batches,
        compute=site.compute if records is None else replace(site.compute, bf16=False),
        seed=seed_for(site.seed, site.name, order.round, "layers"),
        records=records,
        site=site.name,
    )


def private_state_after(site: Site, round: SiteRound, outcome: Outcome) -> dict[str, Tensor]:
    """Return what the vault keeps of a trained round."""
    state, memory = site.model.state_dict(), memory_of(round.terms)
    keep = as_group(private_part(state, site.boundary), "private")
    keep |= as_group(memory_state(site, memory), "memory") if memory is not None else {}
    if site.config.train.optimizer_state == "keep":
        keep |= as_group(optimizer_tensors(round.optimizer), "optimizer")
    if site.config.contrast.objective == "moon":
        keep |= as_group({n: t.detach().cpu() for n, t in state.items()}, "previous")
    return keep | as_group(outcome.kept, "method")


def report_of(site: Site, order: Order, round: SiteRound, trained: Trained) -> Report:
    """Return what a site reports of a trained round."""
    metrics = training_metrics(trained, memory_of(round.terms), order.round)
    return Report(site.name, "train", "current", len(site.data.train), metrics)


def terms_of(
    site: Site,
    order: Order,
    vaulted: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    images: Images,
) -> list[Term]:
    """Return the configured terms of the loss of the resident model."""
    config, contrast = site.config, site.config.contrast
    memory = arrived_memory(site, vaulted, images, order.round)
    is_warm = warmed_up(contrast, facts)
    terms: list[Term] = [
        cross_entropy(config.train, images.labels, site.compute.device, config.data.class_count)
    ]
    terms += contrast_of_embeddings(contrast, order.round, memory, is_warm=is_warm)
    if contrast.objective == "moon" and contrast.weight:
        before = resident_copy(site)
        if previous := group(vaulted, "previous"):
            before.load_state_dict(previous)
        models = (resident_copy(site), before)
        terms.append(ModelContrast(*models, contrast.weight, contrast.temperature, site.compute))
    if config.train.proximal_mu:
        trained = [p for p in site.model.parameters() if p.requires_grad]
        terms.append(Proximal(config.train.proximal_mu, trained))
    return terms


def resident_copy(site: Site) -> nn.Module:
    """Return a frozen copy of the resident model in evaluation mode."""
    return copy.deepcopy(site.model).eval().requires_grad_(False)


def memory_of(terms: Sequence[Term]) -> ContrastiveMemory | None:
    """Return the memory that a term has filled, None if none has one."""
    return next((term.memory for term in terms if isinstance(term, Contrast)), None)


def training_metrics(
    trained: Trained, memory: ContrastiveMemory | None, round: int
) -> dict[str, float]:
    """Return what a round of training reports, memory occupancy included."""
    metrics = {
        "loss": trained.loss,
        "cross_entropy": 0.0,
        "contrastive": 0.0,
        **trained.terms,
        "gradient_norm": trained.gradient_norm,
        "steps": trained.steps,
        "images_seen": trained.examples,
    }
    if memory:
        metrics["memory_entries"] = len(memory)
        metrics["memory_age"] = float(memory.ages(round).double().mean())
    return metrics
