"""Test images of one hospital with where its model looked: hits, misses, other batch norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from federated.config.schema import Config
from federated.data.classes import class_words
from federated.data.site import Split
from federated.errors import UserError
from federated.learning.evaluation import outputs
from federated.learning.explaining import grad_cam, overlay
from federated.learning.views import evaluation_views, round_view
from federated.runs.reading import Run
from federated.unseen.judged import Judged, judged
from federated.unseen.models import State, last_states, network_with, site_state

Picture = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """An image and where a model looked.

    Attributes:
        title: What it is and what the model said.
        image: (S, S), 0 black to 1 white.
        heat: (S, S), 0 to 1: what speaks for class 1.
    """

    title: str
    image: Picture
    heat: Picture


def explained(
    run: Run, site: str, method: str, seed: int, *, model: str, count: int
) -> Mapping[str, list[Explained]]:
    """Return rows of images by title: hits, misses, and one image under every site's batch norm.

    Hits and misses are those that the model was surest of, with the probabilities that the run
    kept, at the threshold that the hospital's validation images chose. The last row, the image that
    the model was surest and wrong about (or right, if it never was wrong), takes the federation's
    weights of the last round with each site's batch norm; a method that shares nothing has none.

    Args:
        run: A simulation's run, whose images can be read here.
        site: The hospital.
        method: Of the run.
        seed: Of the run.
        model: ``final`` or ``kept``.
        count: Most images in a row.

    Raises:
        UserError: there is no such site, method, seed or model.
    """
    if run.study.common.data.classes:
        raise UserError(
            "consilium explain shows what speaks for one of two classes, and this run has "
            f"{len(run.study.common.data.classes)}; consilium predict says the probability of each."
        )
    state = site_state(run, site, method, seed, model)
    known = judged(run, site, method, seed, model)
    words = class_words(run.study.common, site)
    config = run.study.by_method[method]
    rows = {}
    for title, right in (("Hits", True), ("Misses", False)):
        if numbers := known.surest(count, right=right):
            named = f"{title} (threshold {known.threshold:.2f})"
            scores = known.scores[numbers].tolist()
            shown = _shown(config, seed, state, known.split, numbers)
            rows[named] = [
                Explained(f"{words[known.split.labels[number]]}, p = {score:.2f}", image, heat)
                for number, score, (_, image, heat) in zip(numbers, scores, shown, strict=True)
            ]
    first = known.surest(1, right=False) or known.surest(1, right=True)
    if others := list(_under_other_norms(run, method, seed, known, first, 2 * count, words)):
        rows["One image under the batch norm of each site"] = others
    return rows


def _under_other_norms(
    run: Run,
    method: str,
    seed: int,
    known: Judged,
    numbers: Sequence[int],
    most: int,
    words: Sequence[str],
) -> Iterator[Explained]:
    try:
        states = last_states(run, method, seed)
    except UserError:
        return
    config = run.study.by_method[method]
    for name in list(states)[:most]:
        shown = _shown(config, seed, states[name], known.split, numbers)
        for number, (score, image, heat) in zip(numbers, shown, strict=True):
            word = words[known.split.labels[number]]
            yield Explained(f"{name}: {word}, p = {score:.2f}", image, heat)


def _shown(
    config: Config, seed: int, state: State, split: Split, numbers: Sequence[int]
) -> Iterator[tuple[float, Picture, Picture]]:
    """Yield the probability of class 1 in the middle view, the image and the map of each."""
    network, size = network_with(config, seed, state), config.data.image_size
    x = middle_view(config, split, numbers)
    heats = overlay(grad_cam(network, x), size).double().numpy()
    with torch.no_grad():
        scores = outputs(network, x)[0].double().softmax(dim=1)[:, 1].tolist()
    yield from zip(scores, grey(x), heats, strict=True)


def middle_view(config: Config, split: Split, numbers: Sequence[int]) -> Tensor:
    """Return images as a round's evaluation shows them: (n, 3, S, S), normalised."""
    pixels = torch.from_numpy(np.array(split.images[list(numbers)]))
    shown = evaluation_views(pixels, config.data.image_size, round_view(config))
    return next(iter(shown)).contiguous()


def grey(x: Tensor) -> npt.NDArray[np.float64]:
    """Return shown images as greys (n, S, S), of each the darkest 0 and the brightest 1."""
    means = x.mean(dim=1).double()
    low, high = means.amin(dim=(1, 2), keepdim=True), means.amax(dim=(1, 2), keepdim=True)
    stretched: npt.NDArray[np.float64] = ((means - low) / (high - low).clamp_min(1e-9)).numpy()
    return stretched
