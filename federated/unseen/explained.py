"""Test images of one hospital with where its model looked: hits, misses, other batch norms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from federated.data import load_site
from federated.data.site import Split
from federated.errors import UserError
from federated.lazy import pd
from federated.learning.evaluation import outputs
from federated.learning.explaining import grad_cam, overlay
from federated.learning.views import evaluation_views, round_view
from federated.runs.reading import Run
from federated.statistics.rates import youden_threshold
from federated.unseen.models import State, last_states, network_with, site_state

Picture = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """An image and where a model looked.

    Attributes:
        title: What it is and what the model said.
        image: (S, S), 0 black to 1 white.
        heat: (S, S), 0 to 1: what speaks for COVID-19.
    """

    title: str
    image: Picture
    heat: Picture


def explained(
    run: Run, site: str, method: str, seed: int, *, model: str, count: int
) -> Mapping[str, list[Explained]]:
    """Return rows of images by title: hits, misses, and one image under every site's batch norm.

    Hits and misses are those that the model was surest of, at the threshold that the hospital's
    validation images chose. The last row, the image that the model was surest and wrong about (or
    right, if it never was wrong), takes the federation's weights of the last round with each
    site's batch norm; a method that shares nothing has none.

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
    split = load_site(run.study.common, site).test
    table = _judged(run, site, method, seed, model, split)
    rows = {}
    for title, right in (("Hits", True), ("Misses", False)):
        chosen = table[table["right"] == right].nlargest(count, "sure", keep="first")
        if len(chosen):
            numbers = chosen["number"].tolist()
            rows[title] = list(_shown(run, method, seed, state, split, numbers))
    first = table.sort_values(["right", "sure"], ascending=[True, False])["number"].iloc[:1]
    if others := list(_under_other_norms(run, method, seed, split, first.tolist(), count)):
        rows["One image under the batch norm of each site"] = others
    return rows


def _judged(run: Run, site: str, method: str, seed: int, model: str, split: Split) -> pd.DataFrame:
    """Return number, right and sure of each test image, from what the run's model said of it."""
    told = run.predictions(site, method, seed, model)
    val = told[told["split"] == "val"]
    threshold = youden_threshold(val["probability"].to_numpy(), val["label"].to_numpy())
    test = told[told["split"] == "test"].set_index("image")["probability"].reindex(split.ids)
    scores = test.to_numpy(dtype=np.float64)
    if np.isnan(scores).any():
        raise UserError(
            f"the test images of {site} are no longer those that the run was tested on."
        )
    is_right = (scores >= threshold) == (split.labels == 1)
    sure = np.abs(scores - threshold)
    return pd.DataFrame({"number": np.arange(len(split)), "right": is_right, "sure": sure})


def _under_other_norms(
    run: Run, method: str, seed: int, split: Split, numbers: list[int], count: int
) -> Iterator[Explained]:
    try:
        states = last_states(run, method, seed)
    except UserError:
        return
    for name in list(states)[: 2 * count]:
        for one in _shown(run, method, seed, states[name], split, numbers):
            yield Explained(f"{name}: {one.title}", one.image, one.heat)


def _shown(
    run: Run, method: str, seed: int, state: State, split: Split, numbers: list[int]
) -> Iterator[Explained]:
    config = run.study.by_method[method]
    network, size = network_with(config, seed, state), config.data.image_size
    pixels = torch.from_numpy(np.array(split.images[numbers]))
    x = next(iter(evaluation_views(pixels, size, round_view(config)))).contiguous()
    heats = overlay(grad_cam(network, x), size).double().numpy()
    with torch.no_grad():
        scores = outputs(network, x)[0].double().softmax(dim=1)[:, 1].tolist()
    grey = x.mean(dim=1).double()
    low, high = grey.amin(dim=(1, 2), keepdim=True), grey.amax(dim=(1, 2), keepdim=True)
    images = ((grey - low) / (high - low).clamp_min(1e-9)).numpy()
    for number, score, image, heat in zip(numbers, scores, images, heats, strict=True):
        word = "COVID-19" if split.labels[number] == 1 else "not COVID-19"
        yield Explained(f"{word}, p = {score:.2f}", image, heat)
