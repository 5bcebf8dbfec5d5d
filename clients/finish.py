"""What a hospital does by itself at the end: some last steps, and a choice of its model."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from torch import Tensor

from clients.fitting import memory_of
from clients.measuring import Predictions, measure, predictions_csv
from clients.site import Site
from clients.vault import Vault
from federated.config.presets import ALONE
from federated.exchange.candidates import CANDIDATES
from federated.exchange.wire import Order, Report
from federated.learning.batches import round_batches
from federated.learning.multiclass import paired_area_difference
from federated.learning.optimizers import learning_rate, make_optimizer
from federated.learning.terms import contrast_of_embeddings, cross_entropy
from federated.learning.training import train_round
from federated.learning.views import final_view
from federated.seeding import global_torch_seed, seed_for

Candidate = tuple[dict[str, Tensor], list[Report], Predictions]


def finish(site: Site, order: Order) -> list[Report]:
    """Report on every candidate that there is (``CANDIDATES``), and on the final choice.

    Nothing here leaves the site but reports.
    """
    site = site.at(order.week)
    kept = site.vault.kept_model(order.round + 1, order.void)
    if kept is None:
        return []
    offered = {name: MAKERS[name](site, kept[0]) for name in CANDIDATES}
    candidates = {
        name: measured(site, state, name) for name, state in offered.items() if state is not None
    }
    choice = choose(site, candidates)
    state, reports, predictions = candidates[choice]
    # Beside the table of its round, which was shown other views and stays as it was written.
    site.vault.write_predictions("kept", predictions_csv(site, candidates["kept"][2]))
    facts = {"choice": choice, "kept_round": kept[1]["round"]}
    table = predictions_csv(site, predictions)
    site.vault.write_model("final", state, facts, table, keep_all=order.keep_all)
    chosen = {"kept_round": float(kept[1]["round"]), f"chose_{choice}": 1.0}
    final = [
        replace(r, model="final", metrics={**r.metrics, **(chosen if r is reports[0] else {})})
        for r in reports
    ]
    return [r for _, told, _ in candidates.values() for r in told] + final


def measured(site: Site, state: Mapping[str, Tensor], name: str) -> Candidate:
    """Return a model with its reports and predictions on validation and test images.

    All candidates are shown the images alike, in the views of the end.
    """
    site.model.load_state_dict(dict(state))
    return dict(state), *measure(site, name, views=final_view(site.config))


def personalised(site: Site, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return ``state`` after the last epochs on the site's own images, lr decayed to 0.

    None without such epochs, or without the images that they need.
    """
    config = site.config
    if not (config.personalise.epochs and site.can_train):
        return None
    site.model.load_state_dict(dict(state))
    train = replace(config.train, lr=config.personalise.lr, local_epochs=1, max_steps=0)
    images, epochs = site.images("train"), config.personalise.epochs
    memory = None
    for epoch in range(1, epochs + 1):
        lr = learning_rate(train, epoch, epochs)
        contrast = contrast_of_embeddings(config.contrast, epoch, memory, is_warm=True)
        generator, device = site.generator(epoch, "personalise"), site.compute.device
        with global_torch_seed(seed_for(site.seed, site.name, epoch, "personal layers")):
            train_round(
                site.model,
                round_batches(images, train, generator, device),
                terms=[
                    cross_entropy(train, images.labels, device, config.data.class_count),
                    *contrast,
                ],
                optimizer=make_optimizer(list(site.model.parameters()), train, lr),
                clip_norm=train.clip_norm,
                compute=site.compute,
            )
        memory = memory_of(contrast)
    return {name: tensor.detach().cpu().clone() for name, tensor in site.model.state_dict().items()}


def own_model(site: Site) -> dict[str, Tensor] | None:
    """Return the site's model trained alone in the same run, if there is one of the same shape."""
    folder = site.vault.folder.parent.parent / ALONE / site.vault.folder.name
    if folder == site.vault.folder or not folder.exists():
        return None
    alone = Vault(folder, {**site.vault.lineage, "method": ALONE})
    found = alone.kept_model(site.config.rounds + 1)
    if found is None:
        return None
    shapes = {name: tensor.shape for name, tensor in found[0].items()}
    fits = shapes == {name: tensor.shape for name, tensor in site.initial.items()}
    return found[0] if fits else None


Make = Callable[[Site, Mapping[str, Tensor]], Mapping[str, Tensor] | None]
MAKERS: Mapping[str, Make] = MappingProxyType(
    {
        "own": lambda site, kept: own_model(site),
        "kept": lambda site, kept: kept,
        "personalised": personalised,
    }
)
"""What makes each of ``CANDIDATES`` out of the site and its kept model; None: there is none."""


def choose(site: Site, candidates: Mapping[str, Candidate]) -> str:
    """Return the site's own model if there is one, unless another is clearly better.

    Without one it is the first of ``CANDIDATES`` that there is. Another must beat its validation
    AUC by ``personalise.margin`` standard errors of the paired difference (DeLong et al. 1988): on
    a small validation set a larger AUC alone is mostly luck. ``own`` and ``kept`` were each chosen
    out of as many rounds, so neither has had more looks. Whatever predicts numbers that are not
    finite loses to what does not. No test prediction is read.
    """
    scores = {
        name: candidates[name][2]["val"]
        for name in CANDIDATES
        if name in candidates and "val" in candidates[name][2]
    }
    finite = [name for name, score in scores.items() if np.isfinite(score).all()]
    first = next(iter(finite), next(name for name in CANDIDATES if name in candidates))
    best, best_gain = first, 0.0
    for name in finite:
        gain, error = paired_area_difference(scores[name], scores[first], site.data.val.labels)
        # Both are NaN where validation has one class, and then this is False.
        if gain > site.config.personalise.margin * error and gain > best_gain:
            best, best_gain = name, gain
    return best
