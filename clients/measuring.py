"""What a hospital measures of a model on its own images, and which model it keeps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.site import Site
from clients.vault_files import kept_name
from federated.config.schema import Config
from federated.exchange.wire import Order, Report
from federated.learning.evaluation import predict
from federated.learning.keeping import WINDOW, is_kept, judged
from federated.learning.metrics import classification_metrics
from federated.learning.multiclass import multiclass_metrics

EVALUATED = ("val", "test")
"""Splits on which the models are measured that are kept."""

Predictions = dict[str, npt.NDArray[np.float64]]


def measured_in_rounds(config: Config) -> tuple[str, ...]:
    """Return the splits on which the weights of a round are measured."""
    return EVALUATED if config.eval.test == "rounds" else ("val",)


def measure(
    site: Site, model: str, *, views: str, splits: Sequence[str] = EVALUATED
) -> tuple[list[Report], Predictions]:
    """Return reports and probabilities of the resident model.

    Args:
        site: The hospital.
        model: What the reports call the model.
        views: How it is shown the images.
        splits: Which images.
    """
    reports, predictions = [], {}
    for split in splits:
        images = site.images(split)
        if not len(images):
            continue
        probabilities, loss = predict(site.model, images, site.compute, views=views)
        of = classification_metrics if probabilities.ndim == 1 else multiclass_metrics
        metrics = of(probabilities, images.labels.numpy(), loss)
        reports.append(Report(site.name, split, model, len(images), metrics))
        predictions[split] = probabilities
    return reports, predictions


def validation_score(reports: list[Report]) -> float | None:
    """Return what a model is chosen by: validation AUC, or minus the loss if AUC is undefined.

    Minus infinity for predictions that are not finite, whose loss is none either. None without
    validation images. No test report is read.
    """
    val = [report.metrics for report in reports if report.split == "val"]
    if not val:
        return None
    score = val[0]["auc"] if np.isfinite(val[0]["auc"]) else -val[0]["loss"]
    # A comparison with NaN is False, and would pass for "better" now and in every later round.
    return score if np.isfinite(score) else -np.inf


def keep_by_rule(
    site: Site,
    order: Order,
    facts: Mapping[str, Any],
    reports: list[Report],
    predictions: Predictions,
) -> dict[str, Any]:
    """Write the resident model to the vault if ``keep.rule`` prefers it, or it is the first.

    One whose predictions are not finite is kept only while there is no finite one, which is better.
    Without validation images nothing speaks for an earlier round, and the latest is kept. A score
    on images of a scanner that has been replaced since is none to compare with.

    Args:
        site: The hospital.
        order: Names the round.
        facts: Of the vault's version so far: ``kept``, round and judgement of the model kept, and
            ``scores``, the newest rounds and their scores.
        reports: Of the resident model.
        predictions: Of the resident model.

    Returns:
        Both facts from now on; they count once the vault's version says so.
    """
    kept, rule = facts.get("kept"), site.config.keep.rule
    scanner = {"new_scanner": True} if order.week >= site.hospital.new_scanner else {}
    comparable = kept is not None and kept.keys() >= scanner.keys()
    # A round that is repeated is no second look.
    before = [pair for pair in facts.get("scores", []) if comparable and pair[0] < order.round]
    scores = [*before, [order.round, validation_score(reports)]][-WINDOW:]
    judgement = judged(rule, [score for _, score in scores])
    asked_for = {"scores": scores} if rule == "smoothed" else {}
    if kept is not None and comparable and not is_kept(judgement, kept["score"]):
        return {"kept": kept, **asked_for}
    choice = {"round": order.round, "score": judgement, **scanner}
    state = {name: tensor.cpu() for name, tensor in site.model.state_dict().items()}
    table = predictions_csv(site, predictions)
    whole = {**choice, "reports": as_json(reports)}
    name = kept_name(order.round)
    site.vault.write_model(name, state, whole, table, keep_all=order.keep_all)
    return {"kept": choice, **asked_for}


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
    """Return ``split,image,label,probability`` lines, for the site's own side only.

    Of more than two classes there is a probability of each, ``probability-0`` and so on.
    """
    count = site.config.data.class_count
    told = ["probability"] if count == 2 else [f"probability-{k}" for k in range(count)]
    lines = [",".join(["split,image,label", *told])]
    for split, probabilities in predictions.items():
        part, rows = site.data.split(split), probabilities.reshape(len(probabilities), -1)
        lines += [
            f'{split},"{image}",{label},{",".join(map(repr, row))}'
            for image, label, row in zip(part.ids, part.labels, rows.tolist(), strict=True)
        ]
    return "\n".join(lines) + "\n"
