"""The publishers' layouts, from tiny folders written here, and what is said when they are not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data.sources import covid_ct as covid_ct_source
from federated.data.sources import sars_cov_2, usermanifest
from federated.errors import UserError


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (40, 48), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="PNG")


def write_covid_ct(folder: Path) -> Path:
    """Write COVID-CT's layout: 6 + 6 images, two patients per split and class."""
    for part, image, first in (("COVID", "File name", 0), ("NonCOVID", "image name", 100)):
        table = [f",{image},Patient ID,Captions"]
        for number, split in enumerate(["train"] * 3 + ["val"] + ["test"] * 2):
            name = f"2020.03 é%{number}-{part}.png"
            write_image(folder / f"CT_{part}" / name, first + number)
            table.append(f'{number},{name},Patient {part} {number // 2 * 2},"two\nlines, one cell"')
            lists = folder / "Data-split" / part
            lists.mkdir(parents=True, exist_ok=True)
            with (lists / f"{split}CT_{part}.txt").open("a", encoding="utf-8") as file:
                file.write(f"{name}\n")
        # patients 0, 0, 2, 2, 4, 4 would straddle train and val: number 3 is a patient of its own
        table[4] = table[4].replace(f"{part} 2", f"{part} 3")
        meta = folder / "meta" / f"{part}-CT-MetaInfo.csv"
        meta.parent.mkdir(exist_ok=True)
        meta.write_text("\n".join(table) + "\n", encoding="utf-8")
    return folder


def write_sars_cov_2(folder: Path, count: int = 12) -> Path:
    for number in range(count):
        write_image(folder / "COVID" / f"Covid ({number}).png", number)
        write_image(folder / "non-COVID" / f"Non-Covid ({number}).png", 1000 + number)
    return folder


@pytest.fixture
def covid_ct(tmp_path):
    return write_covid_ct(tmp_path / "COVID CT größe")


@pytest.fixture
def sars(tmp_path):
    return write_sars_cov_2(tmp_path / "sars")


def test_covid_ct(covid_ct):
    rows = covid_ct_source.list_images(covid_ct).rows
    assert rows["split"].value_counts().to_dict() == {"train": 6, "val": 2, "test": 4}
    assert rows["label"].sum() == 6 and len(rows) == 12
    assert rows["patient"][0] == "Patient COVID 0" and rows["patient"].nunique() == 8
    assert rows["path"].is_monotonic_increasing


def test_covid_ct_leaves_out_what_no_list_names(covid_ct):
    write_image(covid_ct / "CT_COVID" / "new.png", 7)
    (covid_ct / "CT_COVID" / ".DS_Store").write_text("")
    listing = covid_ct_source.list_images(covid_ct)
    assert len(listing.rows) == 12
    assert listing.notes == (
        "CT_COVID: left out files that are in no official split list: 1 (new.png)",
        "CT_COVID: left out hidden files and folders: 1 (.DS_Store)",
    )


def test_covid_ct_without_patients(covid_ct):
    (covid_ct / "meta" / "COVID-CT-MetaInfo.csv").unlink()
    listing = covid_ct_source.list_images(covid_ct)
    assert listing.notes == ("CT_COVID: the patients of 6 images are unknown",)


def test_covid_ct_mistakes(covid_ct):
    (covid_ct / "CT_COVID" / "2020.03 é%0-COVID.png").unlink()
    with pytest.raises(UserError, match=r"trainCT_COVID\.txt: lists .*%0-COVID.*complete the down"):
        covid_ct_source.list_images(covid_ct)


def test_covid_ct_without_a_split_list(covid_ct):
    (covid_ct / "Data-split" / "COVID" / "valCT_COVID.txt").unlink()
    with pytest.raises(UserError, match=r"has 0 split lists val\*\.txt instead of one; copy"):
        covid_ct_source.list_images(covid_ct)


def test_covid_ct_name_in_two_lists(covid_ct):
    with (covid_ct / "Data-split/COVID/valCT_COVID.txt").open("a", encoding="utf-8") as file:
        file.write("2020.03 é%0-COVID.png\n")
    with pytest.raises(UserError, match="which is in 'train' too"):
        covid_ct_source.list_images(covid_ct)


def test_sars_cov_2(sars):
    (sars / "COVID" / "readme.txt").write_text("hello")
    listing = sars_cov_2.list_images(sars)
    assert len(listing.rows) == 24 and listing.rows["label"].sum() == 12
    assert listing.notes == ("COVID: left out files that are no images: 1 (readme.txt)",)


def test_missing_folder_and_empty_class(tmp_path, sars):
    with pytest.raises(UserError, match="none: there is no such folder; correct"):
        sars_cov_2.list_images(tmp_path / "none")
    for path in (sars / "COVID").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="COVID: holds no image; download"):
        sars_cov_2.list_images(sars)
    (sars / "COVID").rmdir()
    with pytest.raises(UserError, match="COVID: the class folder is missing; unpack"):
        sars_cov_2.list_images(sars)


def test_a_name_that_is_not_unicode(sars):
    try:
        write_image(sars / "COVID" / "gr\udcf6\udcdfe.png", 1)
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(UserError, match=r"COVID: holds a file whose name .* rename it"):
        sars_cov_2.list_images(sars)


def write_user(folder: Path, rows: list[str], header: str = "path,label,site") -> Path:
    for number in range(12):
        write_image(folder / "img dir" / f"{number}.png", number)
    path = folder / "mine.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_user_manifest_paths_are_relative_to_it(tmp_path, monkeypatch):
    rows = [f"img dir/{n}.png,{n % 2},{'AB'[n // 6]}" for n in range(12)]
    path = write_user(tmp_path / "study", rows)
    monkeypatch.chdir(tmp_path)
    config = Config(
        data=Data(manifest="study/mine.csv", cache=str(tmp_path / "cache")), phantom=Phantom(0)
    )
    assert data.site_names(config) == ("A", "B")
    site = data.load_site(config, "B")
    ids = site.train.ids + site.val.ids + site.test.ids
    assert sorted(ids) == sorted(f"img dir/{n}.png" for n in range(6, 12))
    assert usermanifest.list_images(Data(manifest=str(path)), "A").notes == ()


def test_user_manifest_mistakes(tmp_path):
    path = write_user(tmp_path, ["img dir/0.png,1,A,train", "img dir/1.png,1,A,"])
    path.write_text("path,label,site,split\nimg dir/0.png,1,A,train\nimg dir/1.png,1,A,\n")
    with pytest.raises(UserError, match="has a split for 1 of 2 images; give"):
        usermanifest.list_images(Data(manifest=str(path)), "A")
    path.write_text("path,label,site\nimg dir/0.png,1,A\n")
    assert usermanifest.list_images(Data(manifest=str(path)), "A").notes == (
        "no image is negative: AUC is undefined here",
    )
    config = Config(data=Data(manifest=str(path), cache=str(tmp_path / "c")), phantom=Phantom(0))
    with pytest.raises(UserError, match=r"site 'A' has too few patients .* \(1\)"):
        data.load_site(config, "A")
    path.write_text("path,label,site\nnone.png,1,A\n")
    with pytest.raises(UserError, match=r"mine\.csv: names the image 'none\.png', which cannot be"):
        data.load_site(config, "A")
