"""What a hospital does by itself at the end: some last steps of its own, and a choice."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from clients.fitting import memory_of
from clients.measuring import Predictions, measure, predictions_csv
from clients.site import Site
from clients.vault import Vault
from federated.config.presets import ALONE
from federated.exchange.wire import Order, Report
from federated.learning.batches import round_batches
from federated.learning.metrics import paired_auc_difference
from federated.learning.optimizers import learning_rate, make_optimizer
from federated.learning.terms import contrast_of_embeddings, cross_entropy
from federated.learning.training import train_round
from federated.learning.views import final_view
from federated.seeding import global_torch_seed, seed_for

Candidate = tuple[dict[str, Tensor], list[Report], Predictions]


def finish(site: Site, order: Order) -> list[Report]:
    """Report on the model kept during the rounds, the personalised one and the final choice.

    Candidates are ``kept`` (the best round by validation), ``personalised`` (kept, after
    ``personalise.epochs`` on the site's own images) and ``own`` (the model of the method ``local``
    of the same run and seed, if it ran before). Nothing here leaves the site but reports.
    """
    site = site.at(order.week)
    kept = site.vault.kept_model(order.round + 1, order.void)
    if kept is None:
        return []
    candidates = {"kept": measured(site, kept[0], "kept")}
    if site.config.personalise.epochs and site.can_train:
        candidates["personalised"] = measured(site, personalised(site, kept[0]), "personalised")
        own = own_model(site)
        if own is not None:
            candidates["own"] = measured(site, own, "own")
    choice = choose(site, candidates)
    state, reports, predictions = candidates[choice]
    # Beside the table of its round, which was shown other views and stays as it was written.
    site.vault.write_predictions("kept", predictions_csv(site, candidates["kept"][2]))
    facts = {"choice": choice, "kept_round": kept[1]["round"]}
    site.vault.write_model("final", state, facts, predictions_csv(site, predictions))
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


def personalised(site: Site, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ``state`` after the last epochs on the site's own images, lr decayed to 0."""
    config = site.config
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
                terms=[cross_entropy(train, images.labels, device), *contrast],
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


def choose(site: Site, candidates: Mapping[str, Candidate]) -> str:
    """Return the candidate that validation prefers; ``kept`` unless another is clearly better.

    Another must beat the kept model's validation AUC by ``personalise.margin`` standard errors of
    the paired difference (DeLong et al. 1988): on a small validation set a larger AUC alone is
    mostly luck. No test prediction is read.
    """
    labels = site.data.val.labels
    base = candidates["kept"][2].get("val")
    best, best_gain = "kept", 0.0
    for name, (_, _, predictions) in candidates.items():
        if name == "kept" or base is None or len(set(labels.tolist())) < 2:
            continue
        gain, error = paired_auc_difference(predictions["val"], base, labels)
        if gain > site.config.personalise.margin * error and gain > best_gain:
            best, best_gain = name, gain
    return best
