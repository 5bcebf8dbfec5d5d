"""DICOM whose values are told in unusual ways: each is read right or refused, never guessed."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from test_data_dicom import LUNG, RAMP, SAME, near, one, write

from federated.data.formats import images
from federated.data.formats.table import is_image
from federated.errors import UserError

STORED = (RAMP + 1024).astype(np.uint16)
GREY = (LUNG + 0.5).astype(np.uint8)


def group(**tags: object) -> pydicom.Dataset:
    """Return a functional group with the tags of a pixel value transformation."""
    transformation, outer = pydicom.Dataset(), pydicom.Dataset()
    for name, value in tags.items():
        setattr(transformation, name, value)
    outer.PixelValueTransformationSequence = [transformation]
    return outer


def without(path: Path, *keywords: str) -> Path:
    """Remove tags from a file."""
    dataset = pydicom.dcmread(path)
    for keyword in keywords:
        delattr(dataset, keyword)
    dataset.save_as(path)
    return path


RESCALE = ("RescaleSlope", "RescaleIntercept")


def test_rescale_of_an_enhanced_image_shared_by_its_frames(tmp_path):
    shared = [group(RescaleSlope=1, RescaleIntercept=-1024)]
    path = write(
        tmp_path / "a.dcm",
        np.stack([STORED] * 3),
        BitsStored=16,
        HighBit=15,
        SharedFunctionalGroupsSequence=shared,
    )
    decoded = images.decode(without(path, *RESCALE), SAME)
    assert len(decoded) == 3
    for frame in decoded:
        near(frame.square, LUNG)


def test_rescale_of_each_frame_goes_before_that_of_all(tmp_path):
    intercepts = (-1024, -1124, -1224)
    frames = np.stack([(RAMP - intercept).astype(np.uint16) for intercept in intercepts])
    path = write(
        tmp_path / "a.dcm",
        frames,
        BitsStored=16,
        HighBit=15,
        SharedFunctionalGroupsSequence=[group(RescaleSlope=1, RescaleIntercept=-7)],
        PerFrameFunctionalGroupsSequence=[group(RescaleIntercept=value) for value in intercepts],
    )
    for frame in images.decode(path, SAME):
        near(frame.square, LUNG)


@pytest.mark.parametrize("missing", ["absent", "empty"])
def test_an_intercept_without_a_slope_has_slope_one(tmp_path, missing):
    path = write(tmp_path / "a.dcm", STORED, RescaleIntercept=-1024, RescaleSlope=None)
    if missing == "absent":
        without(path, "RescaleSlope")
    near(one(path).square, LUNG)
    assert one(path).slice.odd == ("slope missing",)


@pytest.mark.parametrize("missing", ["absent", "empty"])
def test_no_rescale_at_all(tmp_path, missing):
    signed = write(tmp_path / "a.dcm", RAMP, RescaleIntercept=None, RescaleSlope=None)
    plain = write(tmp_path / "b.dcm", STORED, RescaleIntercept=None, RescaleSlope=None)
    if missing == "absent":
        without(signed, *RESCALE)
        without(plain, *RESCALE)
    near(one(signed).square, LUNG)
    near(one(plain).square, LUNG)
    assert one(plain).slice.odd == ("intercept lost",)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"RescaleSlope": 2, "RescaleIntercept": None}, "a rescale slope without an intercept"),
        ({"RescaleSlope": 0, "RescaleIntercept": -1024}, "a rescale slope of 0"),
        ({"BitsStored": 16, "HighBit": 15, "RescaleSlope": 64}, "values from 1536 to 129536"),
        ({"RescaleSlope": 64, "RescaleIntercept": -99999}, "values down to -98463, which are no"),
        ({"Modality": "MR", "RescaleIntercept": -100}, "values from -76 to 1924: neither"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "is a mask of 1 bit"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, tags, sentence):
    with pytest.raises(UserError, match=rf"a\.dcm: (has|is) .*{sentence.split(' ', 1)[1]}"):
        one(write(tmp_path / "a.dcm", STORED, **tags))


def test_a_slice_without_air_is_hounsfield_units_where_anything_is_negative(tmp_path):
    soft = (RAMP // 20 + 40).astype(np.int16)  # -10 to 90 HU
    found = one(write(tmp_path / "a.dcm", soft)).square
    near(found, np.clip((soft + 1350) / 1500 * 255, 0, 255))


def test_signed_values_marked_unsigned(tmp_path):
    path = write(tmp_path / "a.dcm", RAMP.view(np.uint16), BitsStored=16, HighBit=15)
    near(one(path).square, LUNG)
    assert one(path).slice.odd == ("signed values marked unsigned",)


def test_bright_padding_is_air_and_dark_padding_stays(tmp_path):
    padded = STORED.copy()
    padded[:4] = 63536  # what -2000 is without a sign
    tags = {"BitsStored": 16, "HighBit": 15, "RescaleIntercept": -1024}
    found = one(write(tmp_path / "a.dcm", padded, PixelPaddingValue=63536, **tags)).square
    near(found[5:], LUNG[5:])
    near(found[:4], np.full((4, 40), (1350 - 1000) / 1500 * 255))
    dark = RAMP.copy()
    dark[:4] = -2000
    assert not one(write(tmp_path / "b.dcm", dark, PixelPaddingValue=-2000)).square[:4].any()


def test_a_palette_is_looked_up(tmp_path):
    order = np.random.default_rng(3).permutation(256)
    table = (np.argsort(order).astype("<u2") * 257).tobytes()
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name in ("Red", "Green", "Blue"):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{name}PaletteColorLookupTableData"] = table
    near(one(write(tmp_path / "a.dcm", order[GREY].astype(np.uint8), **tags)).square, GREY)


@pytest.mark.parametrize(("bits", "factor"), [(8, 1), (12, 4095 / 255), (16, 257)])
def test_colours_of_any_depth(tmp_path, bits, factor):
    kind = np.uint8 if bits == 8 else np.uint16
    pixels = np.repeat(np.rint(GREY.astype(float) * factor).astype(kind)[..., None], 3, axis=2)
    path = write(
        tmp_path / "a.dcm",
        pixels,
        **{"Rows": 40, "Columns": 40, "NumberOfFrames": 1, "SamplesPerPixel": 3},
        **{"PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        **{"BitsStored": bits, "HighBit": bits - 1},
    )
    near(one(path).square, GREY)
    assert not one(path).slice.colour


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big"])
def test_without_preamble_and_file_meta(tmp_path, syntax):
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm", STORED, RescaleIntercept=-1024))
    if syntax == "big":
        dataset.PixelData = STORED.astype(">u2").tobytes()
    del dataset.file_meta
    bare = pydicom.Dataset()
    bare.update(dataset)
    bare.save_as(
        tmp_path / "1.2.3.4", implicit_vr=syntax == "implicit", little_endian=syntax != "big"
    )
    assert is_image(tmp_path / "1.2.3.4")
    near(one(tmp_path / "1.2.3.4").square, LUNG)
    assert one(tmp_path / "1.2.3.4").slice.odd == ("no file meta",)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_syntaxes(tmp_path, syntax):
    dataset = pydicom.dcmread(write(tmp_path / "a.dcm", STORED, RescaleIntercept=-1024))
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = STORED.astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    bare = pydicom.Dataset()
    bare.update(dataset)
    bare.file_meta = dataset.file_meta
    bare.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    near(one(tmp_path / "b.dcm").square, LUNG)


def test_luminance_and_chroma_are_turned_into_colours(tmp_path):
    ycc = np.stack([GREY, np.full_like(GREY, 128), np.full_like(GREY, 128)], axis=-1)
    path = write(
        tmp_path / "a.dcm",
        ycc,
        **{"Rows": 40, "Columns": 40, "NumberOfFrames": 1, "SamplesPerPixel": 3},
        **{"PhotometricInterpretation": "YBR_FULL", "PlanarConfiguration": 0},
    )
    near(one(path).square, GREY, 1)
