"""Bad input, one by one: strict stops with its sentence, otherwise the import goes on."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from test_data_dicom import RAMP
from test_data_dicom import write as write_dicom
from test_data_images import chunk
from test_data_sources import write_image

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.errors import UserError


def truncated(path: Path) -> None:
    write_image(path, 1)
    path.write_bytes(path.read_bytes()[:300])


def bomb(path: Path) -> None:
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def no_pixels(path: Path) -> None:
    dataset = pydicom.dcmread(write_dicom(path, RAMP))
    del dataset.PixelData
    dataset.save_as(path)


def noise(*shape: int, top: int = 256) -> np.ndarray:
    return np.random.default_rng(5).integers(0, top, shape)


BAD = {
    "truncated.png": (truncated, "is damaged or cut short"),
    "text.png": (lambda path: path.write_text("hello"), "is no PNG, JPEG, DICOM or NIfTI"),
    "one.png": (lambda path: Image.new("L", (1, 1)).save(path), "is 1 x 1 pixels, below"),
    "bomb.png": (bomb, "is an image, above the limit of 16777216 pixels"),
    "report.dcm": (no_pixels, "is a DICOM file without pixels"),
    "empty.nii.gz": (lambda path: path.write_bytes(b""), "is empty"),
    "folder.png": (lambda path: path.mkdir(), "is a folder, not a file"),
}
GOOD = {
    "jpeg inside.png": lambda path: Image.fromarray(noise(40, 40).astype("uint8")).save(
        path, "JPEG"
    ),
    "16 bit.png": lambda path: Image.fromarray(noise(40, 40, top=4096).astype("uint16")).save(path),
    "palette.png": lambda path: (
        Image.fromarray(noise(40, 40).astype("uint8"), "L").convert("P").save(path)
    ),
    "rgba größe 肺.png": lambda path: Image.fromarray(noise(40, 40, 4).astype("uint8")).save(path),
}


@pytest.fixture
def config(tmp_path):
    for number in range(6):
        for part in ("covid", "non covid"):
            write_image(tmp_path / "own" / part / f"{number}.png", number + 10 * len(part))
    return Config(
        data=Data(folder=str(tmp_path / "own"), cache=str(tmp_path / "cache"), image_size=32),
        phantom=Phantom(sites=0),
    )


def manifest_of(config: Config, *rows: str) -> Config:
    """Return the config with a manifest of its images, and of these rows."""
    own = Path(config.data.folder)
    good = [f"{path.relative_to(own)},{path.parent.name},A" for path in sorted(own.glob("*/*.png"))]
    path = own / "mine.csv"
    path.write_text("\n".join(["path,label,site", *good, *rows]) + "\n", encoding="utf-8")
    return replace(config, data=replace(config.data, folder="", manifest=str(path)))


def counts(summary: data.SiteSummary) -> int:
    return sum(map(sum, summary.counts.values()))


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("ignore")
def test_a_bad_file_stops_a_strict_import_and_only_that(config, tmp_path, name):
    write, sentence = BAD[name]
    strict = manifest_of(config, f"covid/{name},covid,A")
    write(tmp_path / "own" / "covid" / name)
    with pytest.raises(UserError, match=f"{name}: {sentence}") as caught:
        data.prepare(strict)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == [], "something half-written stays"
    lenient = replace(strict, data=replace(strict.data, strict=False))
    (summary,) = data.prepare(lenient)
    assert counts(summary) == 12
    assert len(summary.skipped) == 1 and f"{name}: {sentence}" in summary.skipped[0]
    assert len(data.load_site(lenient, "A").train) > 0
    with pytest.raises(UserError, match=name):
        data.load_site(strict, "A")  # what the lenient import left does not serve a strict run


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_odd_files_are_taken(config, tmp_path, name):
    GOOD[name](tmp_path / "own" / "covid" / name)
    (summary,) = data.prepare(config)
    assert counts(summary) == 13 and summary.skipped == ()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("covid/0.png,covid,A", "row 14 lists 'covid/0.png' of site 'A' again"),
        ("covid/1.png,perhaps,B", "row 14 has the unknown label 'perhaps'; use 1 or covid"),
        (",covid,A", "row 14 has no usable path"),
        ("covid/none.png,covid,A", "covid/none.png"),
    ],
)
def test_a_bad_row(config, row, sentence):
    strict = manifest_of(config, row)
    with pytest.raises(UserError) as caught:
        data.prepare(strict)
    assert sentence in str(caught.value)
    lenient = replace(strict, data=replace(strict.data, strict=False))
    (summary,) = data.prepare(lenient)
    assert counts(summary) == 12 and len(summary.skipped) == 1 and sentence in summary.skipped[0]


def test_nothing_usable_stops_any_import(config, tmp_path):
    for path in (tmp_path / "own").glob("*/*.png"):
        path.write_text("no image")
    lenient = replace(config, data=replace(config.data, strict=False))
    with pytest.raises(UserError, match=r"no image of 'own' can be used; .*is no PNG"):
        data.prepare(lenient)


def test_one_class_and_one_image(config, tmp_path):
    for path in (tmp_path / "own" / "non covid").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="non covid: the class holds no image; fill or remove"):
        data.prepare(config)
    (tmp_path / "own" / "non covid").rmdir()
    (summary,) = data.prepare(config)
    assert summary.notes == ("no image is negative: AUC is undefined here",)
    for path in sorted((tmp_path / "own" / "covid").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match=r"too few patients .* \(1\) to fill"):
        data.prepare(config)


def test_folders_of_sites_classes_and_patients(config, tmp_path):
    root = tmp_path / "study"
    for site in ("north", "south-1"):
        for part in ("NCP", "Normal"):
            for patient in range(6):
                for number in range(2):
                    path = root / site / part / f"{part}{patient}" / "scan" / f"{number}.png"
                    write_image(path, hash((site, part, patient, number)) % 2**32)
    (root / "south-1" / "NCP" / "notes.txt").write_text("x")
    named = replace(config.data, folder=str(root), labels="NCP=1, Normal=0")
    summaries = data.prepare(replace(config, data=named))
    assert [(one.site, counts(one), one.groups) for one in summaries] == [
        ("north", 24, 12),
        ("south-1", 24, 12),
    ]
    assert summaries[1].notes == ("NCP: left out files that are no images: 1 (notes.txt)",)
    unnamed = replace(config.data, folder=str(root), labels="NCP=1,Normal=0,Odd=1")
    (root / "north" / "Odd ones").mkdir()
    with pytest.raises(UserError, match=r"'Odd ones' is no known class; set data\.labels"):
        data.prepare(replace(config, data=unnamed))
    with pytest.raises(UserError, match=r"data\.labels has NCP=2; write 1"):
        data.site_names(replace(config, data=replace(named, labels="NCP=2")))
    with pytest.raises(UserError, match="'NCP'; write name=value"):
        data.site_names(replace(config, data=replace(named, labels="NCP")))
    (root / "empty" / "north").mkdir(parents=True)
    with pytest.raises(UserError, match="north: holds no folder of a class"):
        data.prepare(replace(config, data=replace(named, folder=str(root / "empty"))))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ("path=file", r"no column 'file' among path, label, site"),
        ("image=path", "data.columns names 'image', which is none of path, label"),
        ("path", "data.columns has 'path'; write name=value"),
    ],
)
def test_columns_that_are_not_there(config, columns, sentence):
    wrong = manifest_of(config)
    with pytest.raises(UserError, match=sentence):
        data.site_names(replace(wrong, data=replace(wrong.data, columns=columns)))
