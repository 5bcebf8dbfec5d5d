"""From images to batches: every image used, every crop a crop, no global randomness."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from federated.config.keys import KEYS
from federated.learning import augmentation
from federated.learning.augmentation import (
    changed_more,
    cropped_and_flipped,
    patches,
    squares,
)
from federated.learning.batches import batch_slices, epoch_order, evaluation_batch
from federated.learning.normalising import IMAGENET_MEAN, IMAGENET_STD, normalise, normalise_levels
from federated.seeding import global_torch_seed, numpy_generator, seed_for, torch_generator


@given(st.integers(1, 300), st.integers(2, 64))
def test_every_image_is_in_one_batch_and_none_is_alone(count: int, size: int) -> None:
    slices = batch_slices(count, size)
    assert np.concatenate([np.arange(count)[s] for s in slices]).tolist() == list(range(count))
    lengths = [s.stop - s.start for s in slices]
    assert count == 1 or min(lengths) > 1
    assert max(lengths) <= size + 1


def test_natural_order_is_a_permutation() -> None:
    order = epoch_order(np.zeros(50, dtype=np.int64), "natural", torch_generator(0, "a", 1, "x"))
    assert sorted(order.tolist()) == list(range(50))


def test_balanced_order_draws_classes_equally_often() -> None:
    labels = np.array([1] * 100 + [0] * 1900)
    order = epoch_order(labels, "balanced", torch_generator(0, "a", 1, "x"))
    share = labels[order.numpy()].mean()
    # 2000 draws of probability 1/2: four standard deviations are 0.045.
    assert abs(share - 0.5) < 0.045


def test_normalise_by_hand() -> None:
    x = normalise(torch.tensor([[[0.0, 255.0]]]))
    assert x.shape == (1, 3, 1, 2)
    for channel in range(3):
        mean, std = IMAGENET_MEAN[channel], IMAGENET_STD[channel]
        expected = torch.tensor([-mean / std, (1 - mean) / std])
        torch.testing.assert_close(x[0, channel, 0], expected)


def test_the_table_of_levels_is_normalise_to_the_bit() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    found = normalise_levels(grey)
    assert torch.equal(found, normalise(grey.float()))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_every_training_image_is_a_flipped_crop_of_its_own() -> None:
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (40, 7, 7), dtype=np.uint8))
    batch = cropped_and_flipped(images, 5, torch_generator(0, "a", 1, "x"))
    seen = set()
    for image, found in zip(images, batch, strict=True):
        matches = [
            (top, left, vertical, horizontal)
            for top in range(3)
            for left in range(3)
            for vertical in (False, True)
            for horizontal in (False, True)
            if torch.equal(
                normalise(
                    image[top : top + 5, left : left + 5]
                    .flip([0] if vertical else [])
                    .flip([1] if horizontal else [])
                    .unsqueeze(0)
                    .float()
                )[0],
                found,
            )
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    # Every offset and both flips occur among forty draws of 36 kinds.
    assert {m[0] for m in seen} == {m[1] for m in seen} == {0, 1, 2}
    assert {m[2] for m in seen} == {m[3] for m in seen} == {False, True}


def test_augmentation_depends_on_its_generator_alone() -> None:
    images = torch.arange(2 * 49, dtype=torch.uint8).view(2, 7, 7)
    torch.manual_seed(1)
    first = cropped_and_flipped(images, 5, torch_generator(3, "a", 1, "x"))
    torch.manual_seed(2)
    assert torch.equal(first, cropped_and_flipped(images, 5, torch_generator(3, "a", 1, "x")))


def test_each_augmentation_can_be_chosen() -> None:
    assert set(augmentation.AUGMENTATIONS) == set(KEYS["train.augmentation"].choices)


NOTHING = [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]
"""Draws of ``squares``: whole image, upright, in the middle, not flipped."""


def square(**draws: float) -> Tensor:
    """Return the map of one image of 110 pixels to an input of 96, some of its draws changed."""
    names = ("scale", "angle", "x", "y", "across", "down")
    drawn = [draws.get(name, nothing) for name, nothing in zip(names, NOTHING, strict=True)]
    return squares(torch.tensor(drawn).unsqueeze(1), 110, 96)[0]


def test_a_strong_crop_by_hand() -> None:
    close = torch.testing.assert_close
    close(square(), torch.eye(2, 3))
    close(square(across=0.1), torch.tensor([[-1.0, 0, 0], [0, 1, 0]]))
    # The smallest square is 0.85 x 96 of 110 pixels; it may lie anywhere inside.
    side = 0.85 * 96 / 110
    close(square(scale=0, x=1, y=0), torch.tensor([[side, 0, 1 - side], [0, side, side - 1]]))
    cos, sin = math.cos(math.radians(10)), math.sin(math.radians(10))
    close(square(angle=1), torch.tensor([[cos, -sin, 0], [sin, cos, 0]]))


def test_strong_augmentation_changes_grey_levels_alike_within_an_image() -> None:
    flat = torch.arange(40, 240, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 9, 9)
    batch = changed_more(flat, 7, torch_generator(3, "a", 1, "x"))
    assert batch.shape == (200, 3, 7, 7)
    # Contrast and patches leave an even image as it is, so only gamma is left.
    grey = batch[:, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]
    torch.testing.assert_close(grey, grey[:, :1, :1].expand_as(grey))
    gamma = grey[:, 0, 0].log() / (flat[:, 0, 0] / 255).log()
    assert math.exp(-0.2) - 1e-3 < gamma.min() < 0.85 and 1.18 < gamma.max() < math.exp(0.2) + 1e-3
    assert torch.equal(batch, changed_more(flat, 7, torch_generator(3, "a", 1, "x")))


def test_strong_augmentation_changes_contrast_about_the_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation, "GAMMA", 0)
    monkeypatch.setattr(augmentation, "PATCHED", 0)
    halves = torch.full((300, 22, 22), 100, dtype=torch.uint8)
    halves[:, 11:] = 150
    batch = changed_more(halves, 20, torch_generator(0, "a", 1, "x"))
    grey = 255 * (batch[:, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]).flatten(1)
    reach = grey.max(dim=1).values - grey.min(dim=1).values
    assert 40 - 1e-3 < reach.min() < 42 and 58 < reach.max() < 60 + 1e-3
    assert ((grey.min(dim=1).values < 125) & (grey.max(dim=1).values > 125)).all()


def test_a_quarter_of_the_images_have_one_rectangular_patch() -> None:
    blank = patches(torch.rand(5, 2000, generator=torch_generator(0, "a", 1, "x")), 50)
    has = blank.flatten(1).any(dim=1)
    # Four standard deviations of 2000 draws of probability 1/4.
    assert abs(has.float().mean() - 0.25) < 0.039
    for one in blank[has]:
        down, across = int(one.any(dim=1).sum()), int(one.any(dim=0).sum())
        assert int(one.sum()) == down * across
        assert 5 <= down <= 15 and 5 <= across <= 15


def test_evaluation_shows_the_whole_image() -> None:
    flat = torch.full((1, 8, 8), 100, dtype=torch.uint8)
    same, smaller = evaluation_batch(flat, 8), evaluation_batch(flat, 4)
    assert torch.equal(same, normalise(flat.float()))
    torch.testing.assert_close(smaller, same[:, :, :4, :4])


def test_seeds_are_the_written_ones_and_differ_by_every_argument() -> None:
    """The value is SHA-256 of the text, as any other program computes it."""
    import hashlib

    digest = hashlib.sha256(b"7\x1fa\x1f3\x1ftrain").digest()
    assert seed_for(7, "a", 3, "train") == int.from_bytes(digest[:8], "big") // 2
    others = [(8, "a", 3, "train"), (7, "b", 3, "train"), (7, "a", 4, "train"), (7, "a", 3, "t")]
    assert len({seed_for(*other) for other in [*others, (7, "a", 3, "train")]}) == 5
    assert seed_for(1, "1", 1, "x") != seed_for(11, "", 1, "x")


def test_seeding_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    state = np.random.get_state()[1].copy()  # noqa: NPY002  the global generator is the subject
    torch_generator(0, "a", 1, "x")
    numpy_generator(0, "a", 1, "x").normal(size=3)
    with global_torch_seed(3):
        torch.rand(4)
    assert torch.equal(before, torch.get_rng_state())
    assert (state == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("purpose", ["train", "recalibrate"])
def test_numpy_and_torch_generators_repeat(purpose: str) -> None:
    draws = [numpy_generator(0, "a", 1, purpose).normal() for _ in range(2)]
    assert draws[0] == draws[1]
