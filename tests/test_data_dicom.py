"""DICOM: what the pixels are by the stated rule, whatever the header says."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from federated.config.images import Data
from federated.data.formats import images
from federated.errors import UserError

SIDE = 40
SAME = Data(image_size=SIDE, resize=SIDE, slices=4)
RAMP = np.linspace(-1000, 1000, SIDE * SIDE).reshape(SIDE, SIDE).round().astype(np.int16)  # HU
# The window of the default settings, -600 +- 750 HU, by hand.
LUNG = np.clip((RAMP + 1350) / 1500 * 255, 0, 255)


def write(path: Path, pixels: np.ndarray, compress: str = "", **tags: object) -> Path:
    """Write a CT slice, or a multi-frame one, with the tags of an honest header unless told."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = min(12, dataset.BitsAllocated)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.Modality, dataset.RescaleSlope, dataset.RescaleIntercept = "CT", 1, 0
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    if compress:
        dataset.compress(compress)
    dataset.save_as(path, enforce_file_format=True)
    return path


def one(path: Path) -> images.Decoded:
    (decoded,) = images.decode(path, SAME)
    return decoded


def near(found: np.ndarray, expected: np.ndarray, within: float = 0.51) -> None:
    assert np.abs(found.astype(float) - expected).max() <= within


@pytest.mark.parametrize("compress", ["", RLELossless, JPEG2000Lossless])
def test_slope_and_intercept_make_hounsfield_units(tmp_path, compress):
    if compress == JPEG2000Lossless:
        pytest.importorskip("openjpeg", reason="pip install 'consilium[dicom]'")  # to write it
    stored = ((RAMP + 1024) // 2).astype(np.uint16)
    path = write(tmp_path / "a.dcm", stored, compress, RescaleSlope=2, RescaleIntercept=-1024)
    near(one(path).square, LUNG, 0.51 + 255 / 1500)  # halving lost 1 HU
    assert one(path).slice.odd == ()
    assert one(path).slice.mode == "MONOCHROME2 12 bit"


def test_air_is_black_in_monochrome1_hounsfield_units_too(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    near(one(path).square, LUNG)


def test_other_windows(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP)
    soft = Data(image_size=SIDE, resize=SIDE, window_level=40, window_width=400)
    (found,) = images.decode(path, soft)
    near(found.square, np.clip((RAMP + 160) / 400 * 255, 0, 255))
    assert np.array_equal(found.thumbnail, one(path).thumbnail), "groups must not depend on it"


def test_a_lost_intercept_is_found(tmp_path):
    found = one(write(tmp_path / "a.dcm", (RAMP + 1024).astype(np.uint16)))
    near(found.square, LUNG)
    assert found.slice.odd == ("intercept lost",)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_windowed_before_export_whatever_the_header_says(tmp_path, photometric):
    windowed = np.clip((RAMP + 1350) / 1500 * 4095, 0, 4095).astype(np.uint16)
    path = write(tmp_path / "a.dcm", windowed, PhotometricInterpretation=photometric)
    found = one(path)
    near(found.square, LUNG if photometric == "MONOCHROME2" else 255 - LUNG, 1.01)
    assert found.slice.odd == ("windowed before export",)
    lying = one(write(tmp_path / "b.dcm", windowed, Modality="NM"))
    assert lying.slice.odd == ("modality NM", "windowed before export")


def test_eight_bits_and_colour(tmp_path):
    grey = (LUNG + 0.5).astype(np.uint8)
    near(one(write(tmp_path / "a.dcm", grey)).square, grey, 0)
    red = np.stack([grey, 0 * grey, 0 * grey], axis=-1)
    colour = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
    path = write(tmp_path / "b.dcm", red, Rows=SIDE, Columns=SIDE, NumberOfFrames=1, **colour)
    near(one(path).square, 0.299 * grey)


def test_frames_are_slices_of_one_file(tmp_path):
    frames = np.stack([RAMP] * 10)
    decoded = images.decode(write(tmp_path / "a.dcm", frames), SAME)
    assert [one.slice.part for one in decoded] == ["#2", "#4", "#7", "#9"]
    assert len({one.sha256 for one in decoded}) == 4


@pytest.mark.parametrize(
    ("told", "patient"), [("P7", "P7"), ("Anonymous", ""), ("", ""), (" 12 ", "12")]
)
def test_the_headers_patient(tmp_path, told, patient):
    assert one(write(tmp_path / "a.dcm", RAMP, PatientID=told)).slice.patient == patient


def test_without_pixels_and_without_anything(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(UserError, match=r"a\.dcm: is a DICOM file without pixels.*remove it"):
        images.decode(path, SAME)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.dcm: is empty"):
        images.decode(path, SAME)


def test_without_a_suffix_and_without_a_preamble(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP)
    bare = tmp_path / "IM0001"
    bare.write_bytes(path.read_bytes())
    near(one(bare).square, LUNG)


def test_a_bomb_and_a_decoder_that_is_missing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm", RAMP, Rows=40_000, Columns=40_000)
    with pytest.raises(UserError, match="above the limit of 16777216 pixels"):
        images.decode(path, SAME)
    path = write(tmp_path / "b.dcm", RAMP, RLELossless)
    monkeypatch.setattr(
        pydicom.Dataset,
        "pixel_array",
        property(lambda self: (_ for _ in ()).throw(RuntimeError("plugins are missing"))),
    )
    with pytest.raises(UserError, match=r"is compressed \(RLE Lossless\) .*'consilium\[dicom\]'"):
        images.decode(path, SAME)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    kept=st.floats(0.1, 1),
)
@pytest.mark.parametrize("compress", ["", RLELossless])
def test_mutated_files_decode_or_end_in_a_sentence(tmp_path, compress, cuts, kept):
    content = bytearray(write(tmp_path / "a.dcm", RAMP, compress).read_bytes())
    header = len(content) - RAMP.nbytes if not compress else len(content)
    for place, value in cuts:
        content[int(place * (header - 1))] = value
    path = tmp_path / "b.dcm"
    path.write_bytes(content[: int(kept * len(content))])
    try:
        assert all(one.square.shape == (SIDE, SIDE) for one in images.decode(path, SAME))
    except UserError as error:
        assert "b.dcm" in str(error) and "\n" not in str(error)
