"""How evaluation shows images: at the scale of training, with 20 views at the end."""

import numpy as np
import pytest
import torch
from torch import nn

from federated.config.evaluation import Evaluation
from federated.config.schema import Config
from federated.config.training import Train
from federated.learning.batches import Images, evaluation_batch
from federated.learning.compute import Compute
from federated.learning.evaluation import predict
from federated.learning.normalising import normalise
from federated.learning.views import evaluation_views, final_view, round_view

CPU = Compute(torch.device("cpu"), bf16=False)


def pixels(side: int, count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(side)
    return torch.randint(0, 256, (count, side, side), generator=generator, dtype=torch.uint8)


def test_the_centre_is_the_crop_in_the_middle() -> None:
    grey = pixels(7)
    [x] = evaluation_views(grey, 4, "centre")
    assert torch.equal(x, normalise(grey[:, 1:5, 1:5].float()))


def test_crops_are_the_corners_and_the_middle_flipped_in_both_directions() -> None:
    grey = pixels(6)
    found = [x.numpy().tobytes() for x in evaluation_views(grey, 4, "crops")]
    expected = set()
    for top, left in [(1, 1), (0, 0), (0, 2), (2, 0), (2, 2)]:
        crop = grey.numpy()[:, top : top + 4, left : left + 4]
        for shown in (crop, crop[:, ::-1], crop[:, :, ::-1], crop[:, ::-1, ::-1]):
            x = normalise(torch.from_numpy(shown.copy()).float())
            expected.add(x.numpy().tobytes())
    assert len(found) == len(expected) == 20
    assert set(found) == expected


def test_without_room_to_crop_only_flips_are_left() -> None:
    assert len(list(evaluation_views(pixels(4), 4, "crops"))) == 4


def test_whole_images_are_made_smaller() -> None:
    [x] = evaluation_views(pixels(8), 4, "whole")
    assert torch.equal(x, evaluation_batch(pixels(8), 4))


@pytest.mark.parametrize("count", [5, 30, 300])
def test_probabilities_and_loss_are_those_of_the_mean_logits(count: int) -> None:
    grey = pixels(6, count)
    labels = torch.arange(count) % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    found, loss = predict(model, Images(grey.numpy(), labels, 4), CPU, views="crops")
    # A linear network's mean of logits is its logits of the mean image.
    mean = torch.stack(list(evaluation_views(grey, 4, "crops"))).double().mean(dim=0)
    logits = model.double()(mean)
    np.testing.assert_allclose(found, logits.softmax(dim=1)[:, 1].detach().numpy(), rtol=1e-4)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("views", "augment", "expected"),
    [
        ("crops", True, ("centre", "crops")),
        ("centre", True, ("centre", "centre")),
        ("whole", True, ("whole", "whole")),
        ("crops", False, ("whole", "whole")),
    ],
)
def test_each_round_and_the_end(views: str, augment: bool, expected: tuple[str, str]) -> None:
    config = Config(eval=Evaluation(views=views), train=Train(augment=augment))
    assert (round_view(config), final_view(config)) == expected


def test_a_run_ends_with_the_views_it_was_asked_for(run_tiny) -> None:
    same = {}
    for views in ("crops", "centre"):
        run = run_tiny(views, eval__views=views, eval__test="rounds", rounds=1)
        rows = run.metrics.query("metric == 'loss' and split == 'test'")
        losses = rows.pivot(index="site", columns="model", values="value")
        assert (losses["kept"] == losses["final"]).all()
        same[views] = (losses["kept"] == losses["current"]).all()
    assert same == {"crops": False, "centre": True}
