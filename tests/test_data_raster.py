"""PNG and JPEG as phones, archives and programs write them: turned, animated, on other scales."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data_images import RAMP, decode

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data.formats import slices

CORNER = np.pad(np.full((12, 8), 255, np.uint8), ((0, 36), (0, 40)))  # white at the top left
BACK = {  # what brings each EXIF orientation to the way it is to be shown
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [0, 1, *BACK, 9])
def test_exif_orientation(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(CORNER).save(path, format, exif=exif, quality=95)
    found = decode(path, 48)
    expected = BACK[orientation](CORNER) if orientation in BACK else CORNER
    assert np.abs(found.square.astype(int) - expected).mean() < 2
    assert ("turned by EXIF" in found.slice.odd) == (orientation in BACK)


def test_a_turned_image_has_its_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    found = decode(tmp_path / "a.jpg", 40)
    assert (found.width, found.height) == (48, 64)


def test_damaged_exif_is_no_reason_to_lose_an_image(tmp_path):
    broken = b"Exif\0\0MM\0*\xff\xff\xff"
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.jpg", exif=broken)
    assert decode(tmp_path / "a.jpg", 40).width == 64


@pytest.mark.parametrize(
    ("mode", "format"), [("CMYK", "JPEG"), ("YCbCr", "JPEG"), ("1", "PNG"), ("I;16", "PNG")]
)
def test_more_modes_agree_with_grey(tmp_path, mode, format):
    grey = RAMP.astype(np.uint8)
    image = Image.fromarray(grey)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "1":
        grey = np.where(grey > 127, 255, 0).astype(np.uint8)
        image = Image.fromarray(grey > 127)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "a", format)
    Image.fromarray(grey).save(tmp_path / "b.png")
    found = decode(tmp_path / "a", 48).square.astype(int)
    assert np.abs(found - decode(tmp_path / "b.png", 48).square).max() <= 4


@pytest.mark.parametrize("format", ["PNG", "MPO"])
def test_of_several_pictures_the_first_is_taken_and_the_rest_named(tmp_path, format):
    first, second = (Image.fromarray(RAMP.astype(np.uint8)[:, ::step]) for step in (1, -1))
    first.save(tmp_path / "a.jpg", format, save_all=True, append_images=[second])
    found = decode(tmp_path / "a.jpg", 48)
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "b.png")
    expected = decode(tmp_path / "b.png", 48).square.astype(int)
    assert np.abs(found.square - expected).mean() < 2
    assert "first of 2 pictures" in found.slice.odd


def test_hounsfield_units_plus_32768(tmp_path):
    units = np.linspace(-1000, 1000, 48 * 48).reshape(48, 48).round()
    Image.fromarray((units + 32768).astype(np.uint16)).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", 48)
    expected = np.clip((units + 1350) / 1500 * 255, 0, 255)
    assert np.abs(found.square - expected).max() <= 0.51
    assert "Hounsfield units + 32768" in found.slice.odd


def test_span_sets_one_percent_aside_at_either_end():
    image = np.full((100, 100), 100, np.uint8)
    image[:50] = 110
    assert slices.span_of(image) == 11
    image[0, :50] = 255  # half a percent of letters
    assert slices.span_of(image) == 11
    image[:3] = 255
    assert slices.span_of(image) == 156


def flat_site(folder: Path) -> Config:
    """Write 16-bit images that use 1 % of their range, beside good ones."""
    rng = np.random.default_rng(0)
    for part in ("covid", "non-covid"):
        (folder / "own" / part).mkdir(parents=True)
        for number in range(6):
            low, high = (20_000, 20_600) if number < 2 else (0, 65_535)
            values = rng.integers(low, high, (40, 40)).astype(np.uint16)
            Image.fromarray(values).save(folder / "own" / part / f"{number}.png")
    settings = Data(folder=str(folder / "own"), cache=str(folder / "cache"), image_size=32)
    return Config(data=settings, phantom=Phantom(sites=0))


def test_images_that_span_few_greys_are_told_wherever_they_are_dealt(tmp_path):
    config = flat_site(tmp_path)
    (summary,) = data.prepare(config)
    note = "4 of 12 images span under 32 of 256 greys, such as covid/0.png: their values may lie"
    assert note in "".join(summary.notes)
    dealt = replace(config, partition=replace(config.partition, kind="iid", sites=2))
    shown = [note for one in data.prepare(dealt) for note in one.notes]
    assert sum(int(note.split(" of ")[0]) for note in shown) == 4


def test_a_picture_of_another_format_is_told_by_its_name(tmp_path):
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.dcm", "PNG")
    assert decode(tmp_path / "a.dcm", 40).slice.odd == ("PNG named .dcm",)
