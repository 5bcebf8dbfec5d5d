"""A run's models on other images: scores with their intervals, and the matrix of all on all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from federated.data import load_site
from federated.data.site import Split
from federated.lazy import pd
from federated.learning.evaluation import predict
from federated.learning.metrics import THRESHOLD
from federated.learning.multiclass import area
from federated.learning.views import final_view
from federated.runs.reading import Run
from federated.statistics.images import probability_columns, validation_threshold
from federated.statistics.interval import Floats
from federated.statistics.scored import Scored
from federated.unseen.images import as_images, labelled, numbered_groups
from federated.unseen.models import State, compute_of, last_states, network_with, site_state
from federated.unseen.norms import Newcomer, state_by

OWN = "own"


def probabilities(run: Run, method: str, seed: int, state: State, split: Split) -> Floats:
    """Return a model's probabilities for the images of a split, as ``predict`` does."""
    config = run.study.by_method[method]
    compute = compute_of(config)
    network = network_with(config, seed, state).to(compute.device)
    images = as_images(split, config.data.image_size)
    return predict(network, images, compute, views=final_view(config))[0]


def state_for(
    run: Run, site: str, method: str, seed: int, *, model: str, policy: str, split: Split
) -> State:
    """Return the model of ``site``, or with a policy that of a newcomer with these images."""
    if policy == OWN:
        return site_state(run, site, method, seed, model)
    config = run.study.by_method[method]
    newcomer = Newcomer("unseen", as_images(split, config.data.image_size))
    states = last_states(run, method, seed)
    return state_by(policy, states, newcomer, config, seed, compute=compute_of(config))


def evaluated(
    run: Run,
    place: Path,
    site: str,
    *,
    methods: Sequence[str],
    model: str,
    policy: str,
    say: Callable[[str], None] = lambda line: None,
) -> list[Scored]:
    """Return what models of a run say of labelled images from outside it.

    Thresholds are those that the site's own validation images chose in the run: the new images
    choose nothing.

    Args:
        run: A simulation's run.
        place: A folder of class folders, or a manifest; several hospitals in it are told apart.
        site: Whose model; with a policy, whose threshold.
        methods: Of the run.
        model: ``kept`` or ``final``.
        policy: ``own``: the site's model as it is; else one of ``norms.POLICIES``.
        say: Is given a line before each method's models look at a hospital's images, which takes
            minutes where these are thousands.
    """
    config, found = labelled(run.study.common, place)
    told, seeds = [], ", ".join(map(str, run.study.common.seeds))
    for name, split in found.items():
        groups = numbered_groups(config, name, split.ids)
        for method in methods:
            say(f"{name}: {len(split.ids):,} images under {method}, seeds {seeds} …")
            states = [
                state_for(run, site, method, seed, model=model, policy=policy, split=split)
                for seed in run.study.common.seeds
            ]
            one = scored(run, method, states, split, site=name, groups=groups)
            told.append(replace(one, thresholds=_thresholds(run, site, method, model)))
    return told


def scored(
    run: Run,
    method: str,
    states: Sequence[State],
    split: Split,
    *,
    site: str,
    groups: tuple[list[int], bool],
) -> Scored:
    """Return what a method's models say of the images of a split, at the threshold 0.5.

    Args:
        run: Whose models.
        method: Of the run.
        states: A model a seed of the run.
        split: n images with their labels.
        site: What their hospital is called.
        groups: Of ``numbered_groups``.
    """
    seeds, (numbers, known) = run.study.common.seeds, groups
    scores = [
        probabilities(run, method, seed, state, split)
        for seed, state in zip(seeds, states, strict=True)
    ]
    return Scored(
        site=site,
        method=method,
        seeds=tuple(seeds),
        images=split.ids,
        labels=split.labels,
        scores=np.stack(scores),
        groups=np.array(numbers, dtype=np.int64),
        is_grouped=known,
        thresholds=np.full(len(seeds), THRESHOLD),
        classes=run.study.common.data.classes,
    )


def _thresholds(run: Run, site: str, method: str, model: str) -> Floats:
    chosen = []
    for seed in run.study.common.seeds:
        chosen.append(validation_threshold(run.predictions(site, method, seed, model)))
    return np.array(chosen)


def table_of(models: Sequence[Scored]) -> pd.DataFrame:
    """Return one row per image, method and seed: site, image, label, method, seed, probability."""
    parts = [
        pd.DataFrame(
            {
                "site": one.site,
                "image": one.images,
                "label": one.labels,
                "method": one.method,
                "seed": seed,
                **probability_columns(scores),
            }
        )
        for one in models
        for seed, scores in zip(one.seeds, one.scores, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def matrix(run: Run, method: str, model: str = "kept") -> pd.DataFrame:
    """Return the test AUC of every site's model at every site: model_of, at, seed, auc.

    Each model comes with its own batch norm, so off the diagonal it says what a hospital would get
    that took over another's model as it is.
    """
    sites = sorted(run.files.sites.vaults(method, run.study.common.seeds[0]))
    tests: Mapping[str, Split] = {site: load_site(run.study.common, site).test for site in sites}
    rows = []
    for seed in run.study.common.seeds:
        for whose in sites:
            state = site_state(run, whose, method, seed, model)
            for at, split in tests.items():
                scores = probabilities(run, method, seed, state, split)
                found = area(scores, split.labels)
                rows.append({"model_of": whose, "at": at, "seed": seed, "auc": found})
    return pd.DataFrame(rows)
