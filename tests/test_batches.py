"""From images to batches: every image used, every crop a crop, no global randomness."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from federated.learning.batches import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    batch_slices,
    epoch_order,
    evaluation_batch,
    normalise,
    normalise_levels,
    training_batch,
)
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
    batch = training_batch(images, 5, torch_generator(0, "a", 1, "x"))
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
    first = training_batch(images, 5, torch_generator(3, "a", 1, "x"))
    torch.manual_seed(2)
    assert torch.equal(first, training_batch(images, 5, torch_generator(3, "a", 1, "x")))


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
