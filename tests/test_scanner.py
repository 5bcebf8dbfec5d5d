"""Scanner profiles: what they change, what they leave alone, how far sites differ."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from federated.phantom.scanner import ScannerProfile, acquire, apply_profile, profile_for

PLAIN = ScannerProfile(noise=0.0)
STRONG = ScannerProfile(
    kernel=-0.7,
    noise=60.0,
    level=-500.0,
    gamma=1.3,
    bias=0.1,
    resolution=0.6,
    jpeg=40,
    inverted=True,
    marks=1.0,
    turn=5.0,
    drop=0.02,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def image():
    return rng(7).integers(0, 256, (48, 60), np.uint8)


def test_without_shift_all_scanners_are_the_same():
    assert {profile_for(site, 0.0, seed) for site in range(9) for seed in range(3)} == {
        ScannerProfile()
    }


def test_with_shift_all_scanners_differ():
    assert len({profile_for(site, 1.0, 0) for site in range(20)}) == 20


@hypothesis_settings(deadline=None, max_examples=40)
@given(site=st.integers(0, 500), shift=st.floats(0, 3), seed=st.integers(0, 99))
def test_every_profile_is_one_that_a_scanner_could_have(site, shift, seed):
    profile = profile_for(site, shift, seed)
    assert profile.width > 0 and profile.noise > 0 and profile.gamma > 0
    assert 0 < profile.resolution <= 1
    assert profile.jpeg == 0 or 1 <= profile.jpeg <= 95
    assert 0 <= profile.marks <= 0.5
    assert 0 <= profile.bias < 0.5


@pytest.mark.parametrize("seed", range(5))
def test_four_sites_in_a_row_share_out_the_range(seed):
    levels = sorted(profile_for(site, 1.0, seed).level for site in range(4))
    # One site in each quarter of -770 to -430 HU.
    assert np.all(np.digitize(levels, [-685, -600, -515]) == [0, 1, 2, 3])


def test_inverted_greys_are_rare():
    inverted = [profile_for(site, 1.0, 0).inverted for site in range(1000)]
    assert 0.005 < np.mean(inverted) < 0.06


def test_the_lung_window_is_linear_and_clips():
    hounsfield = np.array([[-2000, -1350, -600, 150, 900]], np.float32)
    assert acquire(hounsfield, PLAIN, rng()).tolist() == [[0, 0, 128, 255, 255]]


def test_inverting_is_the_mirror_image():
    hounsfield = rng(3).uniform(-1300, 100, (20, 20)).astype(np.float32)
    upright = acquire(hounsfield, PLAIN, rng()).astype(int)
    inverted = acquire(hounsfield, replace(PLAIN, inverted=True), rng()).astype(int)
    assert np.abs(upright + inverted - 255).max() <= 1


def test_noise_has_the_stated_size():
    flat = np.full((200, 200), -600, np.float32)
    noisy = acquire(flat, ScannerProfile(noise=90.0, grain=0.8), rng())
    assert noisy.std() * 1500 / 255 == pytest.approx(90, rel=0.02)


def test_kernels_blur_and_sharpen():
    edge = np.tile(np.repeat([-900, -300], 16).astype(np.float32), (32, 1))
    steepest = {
        kernel: int(np.diff(acquire(edge, replace(PLAIN, kernel=kernel), rng()).astype(int)).max())
        for kernel in (-1.0, 0.0, 0.8)
    }
    assert steepest[-1.0] < steepest[0.0] < steepest[0.8]


def test_a_turn_moves_what_is_beside_the_middle_and_a_drop_lowers_it():
    spot = np.full((41, 41), -1000, np.float32)
    spot[20, 33] = 3000
    turned = acquire(spot, replace(PLAIN, turn=90.0), rng())
    assert abs(np.argmax(turned) // 41 - 20) == 13
    lowered = acquire(spot, replace(PLAIN, drop=5 / 41), rng())
    assert divmod(int(np.argmax(lowered)), 41) == (25, 33)


def test_the_profile_of_no_shift_leaves_a_real_image_alone(image):
    assert np.array_equal(apply_profile(image, ScannerProfile(), rng()), image)


@pytest.mark.parametrize("profile", [STRONG, *(profile_for(site, 3.0, 1) for site in range(4))])
def test_a_profile_keeps_shape_and_type_and_repeats(image, profile):
    before = image.copy()
    once, again = (apply_profile(image, profile, rng(1)) for _ in range(2))
    assert once.shape == image.shape
    assert once.dtype == np.uint8
    assert once.flags.writeable
    assert np.array_equal(once, again)
    assert not np.array_equal(once, image)
    assert np.array_equal(image, before)
