"""When two studies give the same numbers, by the places and files that they name.

So that a run goes on from whatever folder it is resumed in, and never from another file of first
weights than before.
"""

import hashlib
from dataclasses import replace
from typing import Any

from federated.config.images import SOURCES, Data
from federated.config.keys import KEYS
from federated.config.schema import Config
from federated.config.study import Study, with_value
from federated.config.training import Model
from federated.errors import UserError, absolute_path, shown

DATA_PATHS = (*SOURCES, "cache")
"""Settings of ``Data`` that name a place on the disk."""
DATA_PLACES = tuple(f"data.{name.replace('_', '-')}" for name in DATA_PATHS)
"""The same as dotted keys: data, or their cache, on a disk."""
FILES = ("modules", "model.start", "rollout.scenario")
"""Other settings that name files; a run that has one is another run without it."""


def same_numbers(one: Study, other: Study) -> bool:
    """Return whether two studies give the same results to the bit.

    They may differ in the settings that are declared with ``changes_bits=False``, and in nothing
    else: this decides what may change when a run is resumed, and which runs may be reused.
    """
    return _decisive(rooted(one)) == _decisive(rooted(other))


def rooted(study: Study) -> Study:
    """Return the study with the places that it names as absolute paths, as seen from here.

    Raises:
        UserError: the file of ``model.start`` cannot be read.
    """
    data = _rooted_data(study.common.data)
    by_method = {
        name: replace(config, data=data, model=_rooted_model(config.model))
        for name, config in study.by_method.items()
    }
    return replace(study, common=replace(study.common, data=data), by_method=by_method)


def _rooted_data(data: Data) -> Data:
    places = {name: getattr(data, name) for name in DATA_PATHS}
    absolute: Any = {
        name: str(absolute_path(place, f"data.{name.replace('_', '-')}"))
        for name, place in places.items()
        if place
    }
    return replace(data, **absolute)


def _rooted_model(model: Model) -> Model:
    """Return the settings with the digest of the first weights, where none is written down yet."""
    if not model.start:
        return model
    path = absolute_path(model.start, "model.start")
    if model.start_sha256:
        return replace(model, start=str(path))
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"model.start = {shown(model.start)} cannot be read: {error.strerror}."
        ) from error
    return replace(model, start=str(path), start_sha256=digest)


def _decisive(study: Study) -> dict[str, Config]:
    free = {name: key.default for name, key in KEYS.items() if not key.changes_bits}
    decisive = dict(study.by_method)
    for method, config in decisive.items():
        for name, default in free.items():
            config = with_value(config, name, default)
        decisive[method] = config
    return decisive
