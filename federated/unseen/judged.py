"""Test images of one hospital beside what the model that it uses said of them: hits and misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federated.data import load_site
from federated.data.replaced import replaced_scanner
from federated.data.site import Split
from federated.errors import UserError
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import hospitals
from federated.runs.reading import Run
from federated.statistics.rates import youden_threshold


@dataclass(frozen=True)
class Judged:
    """A hospital's test images, and a model's answers.

    Attributes:
        split: The n images.
        scores: (n,) probabilities of class 1, as the run's predictions have them.
        threshold: That the hospital's validation images chose; from it on an image is called 1.
    """

    split: Split
    scores: npt.NDArray[np.float64]
    threshold: float

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(n,), whether the model was right."""
        called = self.scores >= self.threshold
        return np.asarray(called == (self.split.labels == 1))

    def surest(self, count: int, *, right: bool) -> list[int]:
        """Return the numbers of the hits, or of the misses, that the model was surest of.

        The farther a probability from the threshold, the surer; the surest is the first.
        """
        sure = np.abs(self.scores - self.threshold)
        numbers = np.flatnonzero(self.right == right)
        order = numbers[np.argsort(-sure[numbers], kind="stable")]
        return [int(number) for number in order[:count]]


def last_images(run: Run, site: str) -> Split:
    """Return a hospital's test images as its last models saw them, through its last scanner.

    Raises:
        UserError: they cannot be read here.
    """
    common = run.study.common
    if not run.timeline.empty:
        hospital = hospitals(run)[site]
        if hospital.new_scanner <= run.last_hour / HOURS_PER_WEEK:
            return replaced_scanner(common, site, hospital.calendar.new_scanner_shift).test
    return load_site(common, site).test


def judged(run: Run, site: str, method: str, seed: int, model: str) -> Judged:
    """Return the test images of a hospital with what one of the run's models said of them.

    Raises:
        UserError: images or predictions are not here, or the images are others by now.
    """
    split = last_images(run, site)
    try:
        told = run.predictions(site, method, seed, model)
    except FileNotFoundError as error:
        raise UserError(f"{site} has no predictions of a {model} model of {method}.") from error
    val = told[told["split"] == "val"]
    threshold = youden_threshold(val["probability"].to_numpy(), val["label"].to_numpy())
    test = told[told["split"] == "test"].set_index("image")["probability"].reindex(split.ids)
    scores = test.to_numpy(dtype=np.float64)
    if np.isnan(scores).any():
        raise UserError(
            f"the test images of {site} are no longer those that the run was tested on."
        )
    return Judged(split, scores, threshold)
