"""What lies in a hospital's folder is used, or said to be left out: links, pipes and names."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from test_data_dicom import RAMP
from test_data_dicom import write as write_dicom
from test_data_sources import write_covid_ct, write_image, write_sars_cov_2

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data.files import tree_of
from federated.data.formats.table import is_image
from federated.data.sources import covid_ct, folders, sars_cov_2
from federated.errors import UserError


def images_of(folder: Path, first: int = 0) -> Path:
    """Write four patients of two slices in each of two classes."""
    for label, part in enumerate(("covid", "non-covid")):
        for patient in range(4):
            for number in range(2):
                path = folder / part / f"{part[0]}{patient}" / f"{number}.png"
                write_image(path, first + 100 * label + 10 * patient + number)
    return folder


def config_of(folder: Path, *, strict: bool = True) -> Config:
    cache = str(folder.parent / "cache")
    settings = Data(folder=str(folder), cache=cache, image_size=32, strict=strict)
    return Config(data=settings, phantom=Phantom(sites=0))


def summary_of(config: Config) -> data.SiteSummary:
    (summary,) = data.prepare(config)
    return summary


def count(summary: data.SiteSummary) -> int:
    return sum(map(sum, summary.counts.values()))


@pytest.mark.parametrize("linked", ["all", "every other"])
def test_linked_patients_are_followed_and_give_the_same_hospital(tmp_path, linked):
    pool = images_of(tmp_path / "pool")
    study = tmp_path / "study"
    for number, patient in enumerate(sorted(pool.glob("*/*"))):
        target = study / patient.relative_to(pool)
        target.parent.mkdir(parents=True, exist_ok=True)
        if linked == "all" or number % 2:
            target.symlink_to(patient)
        else:
            target.mkdir()
            for file in patient.iterdir():
                (target / file.name).symlink_to(file)
    straight = replace(config_of(pool), data=replace(config_of(pool).data, folder=str(pool)))
    assert count(summary_of(config_of(study))) == count(summary_of(straight)) == 16
    ids = [
        data.load_site(config, name).train.ids
        for config, name in ((config_of(study), "study"), (straight, "pool"))
    ]
    assert ids[0] == ids[1]


def dangling(folder: Path) -> Path:
    path = folder / "covid" / "gone.png"
    path.symlink_to(folder / "nowhere.png")
    return path


def circle(folder: Path) -> Path:
    path = folder / "covid" / "c0" / "round"
    path.symlink_to(folder / "covid")
    return path


def pipe(folder: Path) -> Path:
    path = folder / "covid" / "pipe.png"
    os.mkfifo(path)
    return path


def plug(folder: Path) -> Path:
    path = folder / "covid" / "s.png"
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # such a path may have 107 bytes
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)
    return path


def device(folder: Path) -> Path:
    path = folder / "covid" / "zero.png"
    path.symlink_to("/dev/zero")
    return path


def same_file(folder: Path) -> Path:
    path = folder / "covid" / "c0" / "again.png"
    path.symlink_to(folder / "covid" / "c0" / "0.png")
    return Path("covid/c0/again.png")


UNUSABLE = [
    (dangling, "is a link to .*nowhere.png, which cannot be reached .*restore"),
    (circle, "is a link to a folder that it lies in; remove it"),
    (pipe, "is a pipe, not a file"),
    (plug, "is a socket, not a file"),
    (device, "is a device, not a file"),
    (same_file, r"'covid/c0/again\.png|covid/c0/0\.png' is the same file as '.*'; list it once"),
]


@pytest.mark.parametrize(("make", "sentence"), UNUSABLE)
def test_what_cannot_be_read_is_named_and_never_hangs(tmp_path, make, sentence):
    folder = images_of(tmp_path / "own")
    path = make(folder)
    with pytest.raises(UserError, match=sentence) as caught:
        data.prepare(config_of(folder))
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    lenient = summary_of(config_of(folder, strict=False))
    assert count(lenient) == 16 and len(lenient.skipped) == 1
    assert path.name in lenient.skipped[0]


def test_a_pipe_in_a_manifest_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.csv")
    listed = tmp_path / "mine.csv"
    listed.write_text("path,label,site\npipe.png,1,A\n")
    settings = Data(manifest=str(listed), cache=str(tmp_path / "cache"), image_size=32)
    config = Config(data=settings, phantom=Phantom(sites=0))
    with pytest.raises(UserError, match=r"pipe\.png: is a pipe, not a file"):
        data.prepare(config)
    with pytest.raises(UserError, match=r"pipe\.csv: is a pipe, not a file"):
        data.site_names(
            replace(config, data=replace(settings, manifest=str(tmp_path / "pipe.csv")))
        )


def test_every_file_is_used_or_named(tmp_path):
    folder = images_of(tmp_path / "own")
    others = ["covid/notes.txt", "covid/c1/list.csv", "loose.png", "covid/c2/empty"]
    hidden = [".DS_Store", "covid/._0.png", "non-covid/n1/.hidden"]
    for name in (*others, *hidden):
        (folder / name).write_bytes(b"")
    (folder / "covid" / "c2" / "empty").write_text("x")
    summary = summary_of(config_of(folder))
    assert count(summary) == 16
    text = "\n".join(summary.notes)
    assert "own: left out files and folders that are no part of it: 1 (loose.png)" in text
    assert "files that are no images: 3 (c1/list.csv, c2/empty, notes.txt)" in text
    for name in hidden:
        assert Path(name).name in text


def test_every_file_of_a_published_set_is_used_or_named(tmp_path):
    covid, sars = write_covid_ct(tmp_path / "c"), write_sars_cov_2(tmp_path / "s")
    for folder, part, list_images in (
        (covid, "CT_COVID", covid_ct.list_images),
        (sars, "COVID", sars_cov_2.list_images),
    ):
        (folder / "README.md").write_text("read me")
        write_image(folder / part / "deeper" / "a.png", 1)
        listing = list_images(folder)
        text = "\n".join(listing.notes)
        assert f"{folder.name}: left out files and folders that are no part of it: 1 (READ" in text
        assert f"{part}: left out files and folders that are no part of it: 1 (deeper)" in text
        (folder / part / "gone.png").symlink_to("nowhere")
        assert "gone.png: is a link to nowhere" in list_images(folder).skipped[0]
        with pytest.raises(UserError, match="is a link to nowhere"):
            data.prepare(
                Config(
                    data=Data(
                        covid_ct=str(covid), sars_cov_2=str(sars), cache=str(tmp_path / "cache")
                    ),
                    phantom=Phantom(sites=0),
                )
            )
        (folder / part / "gone.png").unlink()


@pytest.mark.parametrize(
    "name", ["1.2.826.0.1.3680043.8.498.7919", "i0001.CTDC.1", "IM0001", "a.png"]
)
def test_dicom_is_known_by_its_content(tmp_path, name):
    for number, part in enumerate(("covid", "non-covid")):
        for patient in range(3):
            place = tmp_path / "own" / part / f"{part[0]}{patient}"
            place.mkdir(parents=True)
            shifted = RAMP[::-1] if number else RAMP
            write_dicom(place / name, shifted + patient, PatientID=f"{part}{patient}")
    assert is_image(place / name)
    listing = folders.class_folders(tmp_path / "own", {})
    assert len(listing.rows) == 6 and listing.notes == ()


def test_images_in_formats_that_are_not_read_stop_a_strict_import(tmp_path):
    folder = images_of(tmp_path / "own")
    (folder / "covid" / "scan.tif").write_bytes(b"II*\0" + bytes(64))
    with pytest.raises(UserError, match=r"scan\.tif: is a TIFF image, which is not read"):
        data.prepare(config_of(folder))
    lenient = summary_of(config_of(folder, strict=False))
    assert count(lenient) == 16 and "scan.tif" in lenient.skipped[0]


def test_a_tree_lists_each_thing_once(tmp_path):
    folder = images_of(tmp_path / "own")
    tree = tree_of(folder, deep=True)
    assert len(tree.files) == 16 and not (tree.folders or tree.hidden or tree.broken)
    flat = tree_of(folder)
    assert flat.folders == ["covid", "non-covid"] and not flat.files
