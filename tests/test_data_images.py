"""One file to one square: what is accepted, what it becomes, and what is refused how."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from federated.data import images
from federated.errors import UserError
from federated.settings import Data

RAMP = np.arange(64 * 48, dtype=np.float64).reshape(48, 64) / (64 * 48) * 255


def save(path: Path, image: Image.Image, format: str = "PNG") -> Path:
    image.save(path, format=format)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_modes_agree_with_grey(tmp_path, mode):
    grey = Image.fromarray(RAMP.astype(np.uint8))
    expected = images.decode(save(tmp_path / "grey.png", grey), 40).square
    image = grey.convert("RGB").quantize(256) if mode == "P" else grey.convert(mode)
    found = images.decode(save(tmp_path / f"{mode}.png", image), 40).square
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 3
    assert found.shape == (40, 40) and found.dtype == np.uint8


def test_grey_of_the_right_size_is_kept_bit_for_bit(tmp_path):
    grey = RAMP.astype(np.uint8)[:48, :48]
    decoded = images.decode(save(tmp_path / "a.png", Image.fromarray(grey)), 48)
    assert np.array_equal(decoded.square, grey)
    assert (decoded.width, decoded.height) == (48, 48)


def test_transparent_is_black(tmp_path):
    clear = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    assert images.decode(save(tmp_path / "a.png", clear), 32).square.max() == 0


@pytest.mark.parametrize("top", [4095, 65535])
def test_16_bit_is_scaled(tmp_path, top):
    values = np.rint(RAMP / RAMP.max() * top).astype(np.uint16)
    scaled = images.eight_bits(values)
    assert np.array_equal(scaled, np.rint(values / top * 255).astype(np.uint8))
    found = images.decode(save(tmp_path / "a.png", Image.fromarray(values)), 48).square
    expected = images.decode(save(tmp_path / "b.png", Image.fromarray(scaled)), 48).square
    assert np.array_equal(found, expected)


def test_jpeg_named_png(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint8)), "JPEG")
    assert images.decode(path, 32).square.shape == (32, 32)


def test_the_thumbnail_does_not_depend_on_the_side(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(RAMP.astype(np.uint8)))
    assert np.array_equal(images.decode(path, 40).thumbnail, images.decode(path, 90).thumbnail)


def test_spaces_and_letters_beyond_ascii(tmp_path):
    path = save(tmp_path / "Lunge größe (1) 肺.png", Image.fromarray(RAMP.astype(np.uint8)))
    assert images.decode(path, 32).width == 64


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("kept", [9, 40, 500])
def test_truncated(tmp_path, format, kept):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(noise), format)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"a\.png: is damaged or cut short .* download it again"):
        images.decode(path, 32)


@pytest.mark.parametrize("content", [b"", b"Dear hospital, enclosed", b"GIF89a" + bytes(100)])
def test_not_an_image(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png: is not a PNG or JPEG image; convert"):
        images.decode(path, 32)


def test_missing(tmp_path):
    with pytest.raises(UserError, match=r"none\.png: cannot be read"):
        images.decode(tmp_path / "none.png", 32)


def test_one_pixel(tmp_path):
    with pytest.raises(UserError, match="is 1 x 1 pixels, below the 32 x 32"):
        images.decode(save(tmp_path / "a.png", Image.new("L", (1, 1))), 32)


@pytest.mark.parametrize("side", [5_000, 12_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(UserError, match="above the limit of 16777216 pixels"):
        images.decode(path, 32)


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
        assert images.decode(path, 32).square.shape == (32, 32)
    except UserError as error:
        assert "a.png" in str(error)


def test_side_as_published():
    assert images.cached_side(Data(image_size=224)) == 256
    assert images.cached_side(Data(image_size=64, resize=80)) == 80
    with pytest.raises(UserError, match=r"data\.resize is 32, below data\.image-size 64"):
        images.cached_side(Data(image_size=64, resize=32))
