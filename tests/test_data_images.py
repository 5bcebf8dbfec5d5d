"""One file to one square: what is accepted, what it becomes, and what is refused how."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from federated.config.images import Data
from federated.data.formats import images, slices
from federated.errors import UserError

RAMP = np.arange(64 * 48, dtype=np.float64).reshape(48, 64) / (64 * 48) * 255


def save(path: Path, image: Image.Image, format: str = "PNG") -> Path:
    image.save(path, format=format)
    return path


def decode(path: Path, side: int) -> images.Decoded:
    (one,) = images.decode(path, Data(image_size=side, resize=side))
    return one


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_modes_agree_with_grey(tmp_path, mode):
    grey = Image.fromarray(RAMP.astype(np.uint8))
    expected = decode(save(tmp_path / "grey.png", grey), 40).square
    image = grey.convert("RGB").quantize(256) if mode == "P" else grey.convert(mode)
    found = decode(save(tmp_path / f"{mode}.png", image), 40).square
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 3
    assert found.shape == (40, 40) and found.dtype == np.uint8


def test_grey_of_the_right_size_is_kept_bit_for_bit(tmp_path):
    grey = RAMP.astype(np.uint8)[:48, :48]
    decoded = decode(save(tmp_path / "a.png", Image.fromarray(grey)), 48)
    assert np.array_equal(decoded.square, grey)
    assert (decoded.width, decoded.height) == (48, 48)


def test_transparent_is_black(tmp_path):
    clear = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    assert decode(save(tmp_path / "a.png", clear), 32).square.max() == 0


@pytest.mark.parametrize("top", [4095, 65535])
def test_16_bit_is_scaled(tmp_path, top):
    values = np.rint(RAMP / RAMP.max() * top).astype(np.uint16)
    scaled = slices.eight_bits(values)
    assert np.array_equal(scaled, np.rint(values / top * 255).astype(np.uint8))
    found = decode(save(tmp_path / "a.png", Image.fromarray(values)), 48).square
    expected = decode(save(tmp_path / "b.png", Image.fromarray(scaled)), 48).square
    assert np.array_equal(found, expected)


def test_jpeg_named_png(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint8)), "JPEG")
    assert decode(path, 32).square.shape == (32, 32)


def test_the_thumbnail_does_not_depend_on_the_side(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint8)))
    assert np.array_equal(decode(path, 40).thumbnail, decode(path, 90).thumbnail)


def test_spaces_and_letters_beyond_ascii(tmp_path):
    path = save(tmp_path / "Lunge größe (1) 肺.png", Image.fromarray(RAMP.astype(np.uint8)))
    assert decode(path, 32).width == 64


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("kept", [9, 40, 500])
def test_truncated(tmp_path, format, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(noise), format)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.png: is damaged or cut short .* download it again"):
        decode(path, 32)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; copy or download it again"),
        (b"Dear hospital, enclosed", "is no PNG, JPEG, DICOM or NIfTI image; convert"),
        (b"GIF89a" + bytes(100), "is a GIF image, which is not read; unpack or convert"),
        (b"II*\0" + bytes(100), "is a TIFF image, which is not read"),
        (b"PK\x03\x04" + bytes(100), "is a ZIP archive, which is not read"),
        (gzip.compress(b"not a volume", mtime=0), "is a gzip archive, which is not read"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.nii.gz", "a"])
def test_not_an_image(tmp_path, content, sentence, name):
    path = tmp_path / name
    path.write_bytes(content)
    if name == "a.dcm" and content.startswith(b"Dear"):
        sentence = "is no DICOM file"
    with pytest.raises(UserError, match=rf"{name}: ({sentence})"):
        decode(path, 32)


def test_missing(tmp_path):
    with pytest.raises(UserError, match=r"none\.png: cannot be read"):
        decode(tmp_path / "none.png", 32)


def test_one_pixel(tmp_path):
    with pytest.raises(UserError, match="is 1 x 1 pixels, below the 32 x 32"):
        decode(save(tmp_path / "a.png", Image.new("L", (1, 1))), 32)


@pytest.mark.parametrize("side", [5_000, 12_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(UserError, match="above the limit of 16777216 pixels"):
        decode(path, 32)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_decode_or_end_in_a_sentence(tmp_path, format, cuts):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint8)), format)
    content = bytearray(path.read_bytes())
    for place, value in cuts:
        content[int(place * (len(content) - 1))] = value
    path.write_bytes(content)
    try:
        assert decode(path, 32).square.shape == (32, 32)
    except UserError as error:
        assert "a.png" in str(error)


def test_trim_cuts_uniform_borders_and_nothing_else():
    inside = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    framed = np.full((60, 80), 250, np.uint8)
    framed[5:45, 20:70] = inside
    framed[50] += np.arange(80, dtype=np.uint8) % 6  # JPEG leaves that much in a border
    assert np.array_equal(images.trimmed(framed), inside)
    assert np.array_equal(images.trimmed(inside), inside)
    assert np.array_equal(images.trimmed(np.zeros((40, 40), np.uint8)), np.zeros((40, 40)))


def test_trim_is_a_setting_that_leaves_the_thumbnail(tmp_path):
    framed = np.full((60, 60), 255, np.uint8)
    framed[10:50, 10:50] = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(framed))
    (found,) = images.decode(path, Data(image_size=40, resize=40, trim=True))
    assert np.array_equal(found.square, framed[10:50, 10:50])
    assert np.array_equal(found.thumbnail, decode(path, 40).thumbnail)


def test_grey_and_colour_are_told_apart(tmp_path):
    grey = Image.fromarray(RAMP.astype(np.uint8)).convert("RGB")
    assert not decode(save(tmp_path / "a.png", grey), 32).slice.colour
    assert not decode(save(tmp_path / "b.jpg", grey, "JPEG"), 32).slice.colour
    grey.paste((255, 0, 0), (4, 4, 8, 8))
    found = decode(save(tmp_path / "c.png", grey, "JPEG"), 32).slice
    assert found.colour and found.odd == ("JPEG named .png",)


def test_side_as_published():
    assert images.cached_side(Data(image_size=224)) == 256
    assert images.cached_side(Data(image_size=64, resize=80)) == 80
    with pytest.raises(UserError, match=r"data\.resize is 32, below data\.image-size 64"):
        images.cached_side(Data(image_size=64, resize=32))
