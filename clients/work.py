"""A hospital at work: train a round, evaluate what the server sent, keep what is private."""

import copy
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clients.site import Site, as_section, private_state, section
from federated.batches import Images
from federated.evaluation import embed, predict, recalibrate
from federated.memory import ContrastiveMemory
from federated.metrics import classification_metrics
from federated.seeding import global_torch_seed, seed_for
from federated.sharing import Release, join, private_part, release
from federated.training import Trained, learning_rate, make_optimizer, train_round
from federated.wire import Order, Report

EVALUATED = ("val", "test")

Predictions = dict[str, npt.NDArray[np.float64]]


def train(site: Site, order: Order, shared: Mapping[str, Tensor]) -> tuple[Release, list[Report]]:
    """Train one round from the server's weights; keep what is private, release what is shared."""
    config, images = site.config, site.images("train")
    vaulted, _, _ = site.vault.load(before=order.round)
    site.model.load_state_dict(join(shared, private_state(site, vaulted)))
    memory = arrived_memory(site, vaulted, images, order.round)
    lr = learning_rate(config.train, order.round, config.rounds)
    optimizer = make_optimizer(list(site.model.parameters()), config.train, lr)
    restore_optimizer(optimizer, section(vaulted, "optimizer"))
    others = moon_models(site, section(vaulted, "previous"))
    with global_torch_seed(seed_for(site.seed, site.name, order.round, "layers")):
        trained, memory = train_round(
            site.model,
            images,
            train=config.train,
            contrast=config.contrast,
            lr=lr,
            round=order.round,
            generator=site.generator(order.round, "train"),
            compute=site.compute,
            memory=memory,
            others=others,
            optimizer=optimizer,
        )
    state = site.model.state_dict()
    keep = as_section(private_part(state, site.boundary), "private")
    keep |= as_section(memory.state(), "memory") if memory is not None else {}
    if config.train.optimizer_state == "keep":
        keep |= as_section(optimizer_tensors(optimizer), "optimizer")
    if others:
        keep |= as_section({n: t.detach().cpu() for n, t in state.items()}, "previous")
    if keep:
        site.vault.save(order.round, keep, {"round": order.round})
    report = Report(
        site.name, "train", "current", len(images), training_metrics(trained, memory, order.round)
    )
    return release(state, site.boundary), [report]


def evaluate(site: Site, order: Order, shared: Mapping[str, Tensor]) -> list[Report]:
    """Evaluate the server's weights with the site's own batch norm, recalibrated if so configured.

    The model of the round is kept if the site's validation images prefer it to earlier ones.
    """
    config = site.config
    vaulted, _, round = site.vault.load(before=order.round + 1)
    site.model.load_state_dict(join(shared, private_state(site, vaulted)))
    if config.bn.recalibrate:
        recalibrate(
            site.model,
            site.images("train"),
            limit=config.bn.recalibration_images,
            batch_size=config.train.batch_size,
            augment=config.train.augment,
            generator=site.generator(order.round, "recalibrate"),
            compute=site.compute,
        )
        keep = as_section(private_part(site.model.state_dict(), site.boundary), "private")
        site.vault.save(order.round, {**vaulted, **keep}, {"round": order.round, "from": round})
    reports, predictions = measure(site, "current")
    keep_if_better(site, order.round, reports, predictions)
    return reports


def measure(site: Site, model: str) -> tuple[list[Report], Predictions]:
    """Return reports and probabilities of the resident model on validation and test images."""
    reports, predictions = [], {}
    for split in EVALUATED:
        images = site.images(split)
        if not len(images):
            continue
        probabilities, loss = predict(site.model, images, site.compute)
        metrics = classification_metrics(probabilities, images.labels.numpy(), loss)
        reports.append(Report(site.name, split, model, len(images), metrics))
        predictions[split] = probabilities
    return reports, predictions


def validation_score(reports: list[Report]) -> float | None:
    """Return what a model is chosen by: validation AUC, or minus the loss if AUC is undefined.

    None without validation images. No test report is read.
    """
    val = [report.metrics for report in reports if report.split == "val"]
    if not val:
        return None
    return val[0]["auc"] if np.isfinite(val[0]["auc"]) else -val[0]["loss"]


def keep_if_better(site: Site, round: int, reports: list[Report], predictions: Predictions) -> None:
    """Keep the resident model in the vault if it is the first or better on validation.

    Without validation images nothing speaks for an earlier round, and the latest is kept.
    """
    kept = site.vault.model("kept")
    score = validation_score(reports)
    if kept is not None and score is not None and score <= kept[1]["score"]:
        return
    state = {name: tensor.cpu() for name, tensor in site.model.state_dict().items()}
    facts = {"round": round, "score": score, "reports": as_json(reports)}
    site.vault.keep_model("kept", state, facts)
    site.vault.write_predictions("predictions-kept", predictions_csv(site, predictions))


def as_json(reports: list[Report]) -> list[dict[str, object]]:
    """Return reports as JSON values."""
    return [
        {
            "site": r.site,
            "split": r.split,
            "num_examples": r.num_examples,
            "metrics": dict(r.metrics),
        }
        for r in reports
    ]


def predictions_csv(site: Site, predictions: Predictions) -> str:
    """Return ``split,image,label,probability`` lines, for the site's own side only."""
    lines = ["split,image,label,probability"]
    for split, probabilities in predictions.items():
        part = site.data.split(split)
        lines += [
            f'{split},"{image}",{label},{float(probability)!r}'
            for image, label, probability in zip(part.ids, part.labels, probabilities, strict=True)
        ]
    return "\n".join(lines) + "\n"


def arrived_memory(
    site: Site, vaulted: Mapping[str, Tensor], images: Images, round: int
) -> ContrastiveMemory | None:
    """Return the site's memory as it should be now that the server's weights have arrived."""
    contrast = site.config.contrast
    stored = section(vaulted, "memory")
    if not stored or not contrast.memory_size:
        return None
    memory = ContrastiveMemory.from_state(contrast.memory_size, stored)
    if contrast.stale == "drop":
        memory = memory.drop_older_than(round, contrast.max_age)
    elif contrast.stale == "re-embed":
        memory = memory.re_embed(lambda i: embed(site.model, images, i, site.compute), round=round)
    return memory.to(site.compute.device)


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
