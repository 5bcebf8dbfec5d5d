"""What would go wrong at every site, found before any of them starts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from federated.config.common import Common
from federated.config.engine import Engine
from federated.config.external import reason
from federated.config.schema import Config
from federated.config.study import Study
from federated.data import site_names
from federated.data.formats.images import cached_side
from federated.errors import UserError, shown
from federated.learning.compute import device_for
from federated.learning.models import MODELS
from federated.learning.network import network_of
from federated.methods import check_method
from federated.processor import cores
from federated.rollout.scenario import scenario_of
from federated.runs.tracking import check_trackers

TRAINING_BYTES = 16
"""Of a weight while it is trained: itself, its gradient and Adam's two moments, in float32."""


LARGE = 300
"""Width times side of an image from which on a network of ours may be too large."""


def check(study: Study) -> None:
    """Find mistakes that every site would run into, before any of them starts.

    Raises:
        UserError: the machine is smaller than the settings, a network does not fit its method or
            fails, or the scenario does not fit the hospitals.
    """
    check_scenario(study)
    check_trackers(study.common.track)
    check_nodes(study)
    check_machine(study.common.engine)
    check_images(study.common)
    for method, config in study.by_method.items():
        check_batch(config, method)
        check_weights(config, method)
        check_model(config, method)


def check_scenario(study: Study) -> None:
    """Find what a scenario asks of hospitals that the run does not have.

    Raises:
        UserError: the scenario does not fit the hospitals.
    """
    scenario_of(study.common.rollout, study.common.calendars, site_names(study.common))


def check_machine(engine: Engine) -> None:
    """Find threads and GPUs that this machine does not have; a cluster that is joined may.

    Raises:
        UserError: there are fewer.
    """
    if engine.kind == "ray" and engine.address:
        return
    count = cores()
    if engine.threads > count:
        raise UserError(
            f"engine.threads = {engine.threads}, but this machine has {count} cores; set it to "
            f"{count} or less."
        )
    device_for(engine.gpus)
    if engine.gpus > torch.cuda.device_count():
        raise UserError(
            f"engine.gpus = {engine.gpus:g}, but torch sees {torch.cuda.device_count()} GPUs here; "
            "set it to that or less."
        )


def check_nodes(study: Study) -> None:
    """Find folders on nodes where there are none, or a method that would need all of them in one.

    Raises:
        UserError: ``engine.vaults`` does not fit the engine or a method.
    """
    engine = study.common.engine
    if not engine.vaults:
        return
    if engine.kind != "ray" or not engine.address:
        raise UserError(
            f"engine.vaults = {shown(engine.vaults)} is a folder on each node of a Ray cluster; "
            "set engine.kind = ray and engine.address, or leave engine.vaults empty."
        )
    for method, config in study.by_method.items():
        if config.train.pooled:
            raise UserError(
                f"{method}: pooled training writes all hospitals' vaults on one machine; leave "
                f"{method} out, or leave engine.vaults empty."
            )


def check_images(common: Common) -> None:
    """Find synthetic hospitals whose images no memory holds.

    Raises:
        UserError: one hospital's images take more than there is.
    """
    phantom, side = common.phantom, cached_side(common.data)
    _require(
        phantom.patients * phantom.slices * side**2 if phantom.sites else 0,
        f"phantom.patients x phantom.slices = {phantom.patients * phantom.slices} images of "
        f"{side} x {side} pixels a hospital",
    )


def check_batch(config: Config, method: str) -> None:
    """Find batches that no memory holds; a real hospital's are as large as its images are many.

    Raises:
        UserError: the images of one step take more than there is.
    """
    size, phantom = config.data.image_size, config.phantom
    count = min(config.train.batch_size, phantom.patients * phantom.slices)
    _require(
        count * 3 * size**2 * 4 if phantom.sites else 0,
        f"{method}: train.batch-size = {config.train.batch_size} images of {size} x {size} pixels",
    )


def check_weights(config: Config, method: str) -> None:
    """Find a network of ours whose weights no memory holds, without making them.

    Raises:
        UserError: weights and optimiser take more than there is.
    """
    if config.model.name not in MODELS or config.model.width * config.data.image_size < LARGE:
        return  # torch's meta device costs seconds, and what is as large as published fits
    with torch.device("meta"):
        model = network_of(config, seed=0)
    count = sum(weight.numel() for weight in model.parameters())
    _require(
        TRAINING_BYTES * count,
        f"{method}: the {count} weights of {config.model.name} (model.width = "
        f"{config.model.width:g}, data.image-size = {config.data.image_size})",
    )


def _require(size: int, what: str) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise UserError(
            f"{what} need {size / 1e9:.3g} GB, and this machine has {memory / 1e9:.3g} GB; make "
            "them fewer or smaller."
        )


def check_model(config: Config, method: str) -> None:
    """Build a method's network and run it on two blank images.

    Raises:
        UserError: it fails, returns something else than logits, or does not fit its method.
    """
    name, size = config.model.name, config.data.image_size
    with _failures_of(f"{method}: model.name = {shown(name)} cannot be built"):
        network_of(config, seed=0)
    with _failures_of(f"{method}: model.name = {shown(name)} fails on two {size} x {size} images"):
        check_method(config, method)


@contextmanager
def _failures_of(what: str) -> Iterator[None]:
    """Have whatever code of the user's own raises end in one sentence."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{what}: {reason(error)}") from error
