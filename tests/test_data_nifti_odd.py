"""NIfTI as other programs write it: packed under any name, version 2, with gaps, lost in space."""

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
from test_data_nifti import SAME, lungs, write

from federated.data.formats import images
from federated.data.formats.table import is_image
from federated.errors import UserError


def squares(path: Path) -> np.ndarray:
    return np.stack([one.square for one in images.decode(path, SAME)])


@pytest.fixture
def plain(tmp_path):
    return squares(write(tmp_path / "plain.nii", lungs()))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.gz", "volume", "a.b.c", "a.dcm"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_content_decides(tmp_path, plain, name, packed, kind):
    content = kind(lungs(), np.eye(4)).to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    assert is_image(tmp_path / name)
    assert np.array_equal(squares(tmp_path / name), plain)


@pytest.mark.parametrize("gap", [np.nan, -np.inf])
def test_what_was_not_measured_is_air(tmp_path, gap):
    volume = lungs().astype(np.float32)
    volume[volume == -1000] = gap
    found = images.decode(write(tmp_path / "a.nii", volume), SAME)
    assert np.array_equal(
        np.stack([one.square for one in found]), squares(write(tmp_path / "b.nii", lungs()))
    )
    assert found[0].slice.odd == ("NaN taken as air",)


def test_gaps_in_greys_are_black(tmp_path):
    volume = np.linspace(50, 90, 40 * 40 * 8, dtype=np.float32).reshape(40, 40, 8)
    volume[:4] = np.nan
    found = squares(write(tmp_path / "a.nii", volume))
    assert not found[:, :, -4:].any() and found.max() == 255


def test_nothing_measured_at_all(tmp_path):
    with pytest.raises(UserError, match=r"a\.nii: holds no number"):
        squares(write(tmp_path / "a.nii", np.full((40, 40, 4), np.nan, np.float32)))


def header_of(**fields: object) -> nibabel.Nifti1Header:
    header = nibabel.Nifti1Header()
    header.set_data_shape((40, 40, 12))
    header.set_data_dtype(np.int16)
    for name, value in fields.items():
        header[name] = value
    return header


def with_header(path: Path, header: nibabel.Nifti1Header, volume: np.ndarray) -> Path:
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4) + volume.tobytes(order="F"))
    return path


NOWHERE = [
    {"sform_code": 1, "srow_x": 0, "srow_y": 0, "srow_z": 0},
    {"sform_code": 1, "srow_x": np.nan, "srow_y": np.nan, "srow_z": np.nan},
    {"sform_code": 0, "qform_code": 1, "quatern_b": np.nan},
    {"sform_code": 0, "qform_code": 0},
]


@pytest.mark.parametrize("fields", NOWHERE)
def test_a_volume_that_says_nowhere_how_it_lies_is_read_as_stored_and_says_so(tmp_path, fields):
    path = with_header(tmp_path / "a.nii", header_of(**fields), lungs())
    (first, *_) = images.decode(path, SAME)
    assert first.slice.odd == ("orientation unknown",)
    # Without an affine the standard counts x from left to right of the screen: to the left.
    assert first.square[20, 20] == round((-800 + 1350) / 1500 * 255)


def test_a_zero_sform_gives_way_to_the_qform(tmp_path, plain):
    header = header_of(**NOWHERE[0])
    header.set_qform(np.eye(4), 1)
    path = with_header(tmp_path / "a.nii", header, lungs())
    assert np.array_equal(squares(path), plain)
    assert images.decode(path, SAME)[0].slice.odd == ()


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_a_slope_that_is_none_leaves_the_values(tmp_path, plain, slope):
    header = header_of(scl_slope=slope, scl_inter=5)
    header.set_sform(np.eye(4), 1)
    assert np.array_equal(squares(with_header(tmp_path / "a.nii", header, lungs())), plain)


def test_refused_with_a_sentence(tmp_path):
    half = header_of(scl_slope=2, scl_inter=np.nan)
    with pytest.raises(UserError, match=r"a\.nii: has a slope of 2 and no intercept"):
        squares(with_header(tmp_path / "a.nii", half, lungs()))
    colours = np.zeros((40, 40, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "b.nii")
    with pytest.raises(UserError, match=r"b\.nii: holds colours or complex numbers"):
        squares(tmp_path / "b.nii")
    nibabel.save(nibabel.Nifti1Pair(lungs(), np.eye(4)), tmp_path / "c.hdr")
    with pytest.raises(UserError, match=r"c\.hdr: is the header of a pair"):
        squares(tmp_path / "c.hdr")


def test_a_compressed_bomb_is_never_unpacked(tmp_path):
    header = nibabel.Nifti1Image(np.zeros((40, 40, 4), np.int16), np.eye(4)).header
    header.set_data_shape((2000, 2000, 2000))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(10**6)))
    with pytest.raises(UserError, match="2000 x 2000 x 2000 pixels, above the limit"):
        squares(tmp_path / "a.nii.gz")
