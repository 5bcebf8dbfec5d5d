"""NIfTI: the way up, the slices taken, and what is refused how."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federated.config.images import Data
from federated.data.formats import images
from federated.data.formats.slices import chosen_slices
from federated.errors import UserError

SAME = Data(image_size=40, resize=40, slices=3)


def lungs(depth: int = 12) -> np.ndarray:
    """Return a body in HU, (x to the right, y to the front, z to the head), lung in z 4 to 9.

    A marker of bone sits at the patient's right front.
    """
    volume = np.full((40, 40, depth), -1000, np.int16)
    volume[4:36, 4:36] = 40
    volume[10:30, 10:30, 4:10] = -800
    volume[32:36, 30:36] = 400
    return volume


def write(path: Path, volume: np.ndarray, axes: str = "RAS") -> Path:
    """Write a volume given in RAS with its axes stored in another order and direction."""
    ras = nibabel.Nifti1Image(volume, np.eye(4))
    wanted = nibabel.orientations.axcodes2ornt(axes)
    nibabel.save(ras.as_reoriented(wanted), path)
    return path


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "ASR", "PIR"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_every_orientation_gives_the_same_slices(tmp_path, axes, suffix):
    decoded = images.decode(write(tmp_path / f"a{suffix}", lungs(), axes), SAME)
    assert [one.slice.part for one in decoded] == ["#6", "#8", "#10"]
    for one in decoded:
        # 400 HU is white. Patient's right is on the left, the front is up: the marker is at x 32
        # to 35 and y 30 to 35, so in columns 4 to 7 and rows 4 to 9.
        white = np.argwhere(one.square == 255)
        marker = [tuple(place) for place in white if one.square[tuple(place)] == 255]
        assert (4, 4) in marker and (9, 7) in marker
        assert one.square[20, 20] == round((-800 + 1350) / 1500 * 255)


def test_slope_and_intercept(tmp_path):
    image = nibabel.Nifti1Image(2 * lungs() + 20, np.eye(4))  # stored as it is, read by the header
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "a.nii")
    plain = images.decode(write(tmp_path / "b.nii", lungs()), SAME)
    scaled = images.decode(tmp_path / "a.nii", SAME)
    for one, other in zip(plain, scaled, strict=True):
        assert np.abs(one.square.astype(int) - other.square).max() <= 1


def test_greys_take_the_middle_half_over_their_own_range(tmp_path):
    volume = np.repeat(np.linspace(0, 1, 16, dtype=np.float32)[None, None], 40, 0).repeat(40, 1)
    decoded = images.decode(write(tmp_path / "a.nii", volume), SAME)
    assert [one.slice.part for one in decoded] == ["#6", "#9", "#11"]
    assert [int(one.square.max()) for one in decoded] == [0, 153, 255]
    assert decoded[0].slice.odd == ("windowed before export", "spans under 32 of 256 greys")


@settings(max_examples=50, deadline=None)
@given(count=st.integers(1, 60), wanted=st.integers(1, 80))
def test_slices_are_distinct_sorted_and_no_more_than_wanted(count, wanted):
    chosen = chosen_slices(count, wanted, lambda index: np.zeros((2, 2)))
    assert chosen == sorted(set(chosen)) and 1 <= len(chosen) <= wanted
    assert all(count // 4 <= index < count - count // 4 for index in chosen)


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="has 4 dimensions instead of 3; split it"):
        images.decode(write(tmp_path / "a.nii", np.zeros((40, 40, 4, 2), np.int16)), SAME)
    with pytest.raises(UserError, match="is 8 x 40 pixels, below the 32 x 32"):
        images.decode(write(tmp_path / "b.nii", np.zeros((8, 40, 4), np.int16)), SAME)
    header = nibabel.Nifti1Image(np.zeros((40, 40, 4), np.int16), np.eye(4)).header
    header.set_data_shape((4096, 4096, 4096))
    (tmp_path / "bomb.nii").write_bytes(header.binaryblock + bytes(100))
    with pytest.raises(UserError, match="4096 x 4096 x 4096 pixels, above the limit of 536870912"):
        images.decode(tmp_path / "bomb.nii", SAME)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=8),
    kept=st.floats(0.05, 1),
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_mutated_files_decode_or_end_in_a_sentence(tmp_path, suffix, cuts, kept):
    content = bytearray(write(tmp_path / f"a{suffix}", lungs()).read_bytes())
    for place, value in cuts:
        content[min(place, len(content) - 1)] = value
    path = tmp_path / f"b{suffix}"
    path.write_bytes(content[: int(kept * len(content))])
    try:
        assert all(one.square.shape == (40, 40) for one in images.decode(path, SAME))
    except UserError as error:
        assert f"b{suffix}" in str(error) and "\n" not in str(error)
