"""``consilium data``: planted leaks are found, and only ours make it fail."""

import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_data_sources import write_covid_ct, write_image, write_sars_cov_2

import federated.data as data
from federated.commands.main import main
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data import entry
from federated.data.checking import leaks, survey
from federated.data.sources import manifest


def smooth(seed: int) -> np.ndarray:
    """Return an image that survives shrinking to 32x32, unlike noise of single pixels."""
    blocks = np.random.default_rng(seed).integers(20, 230, (8, 8), dtype=np.uint8)
    return blocks.repeat(8, 0).repeat(8, 1)


def save(folder: Path, name: str, seed: int, *, brighter: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth(seed) + np.uint8(brighter)).save(folder / name)


@pytest.fixture
def two_sites(tmp_path):
    """Two sites with a given split: 0 twice in A, 1 in A and B, 2 with both labels in B."""
    rows = []
    for site, first in (("A", 0), ("B", 100)):
        for number in range(12):
            save(tmp_path, f"{site}{number}.png", first + number)
            rows.append((f"{site}{number}.png", number % 2, site, ("train", "test")[number // 6]))
    save(tmp_path, "A-again.png", 0, brighter=9)
    rows.append(("A-again.png", 0, "A", "test"))
    save(tmp_path, "B-of-A.png", 1)
    rows.append(("B-of-A.png", 1, "B", "train"))
    save(tmp_path, "B-other.png", 102, brighter=5)
    rows.append(("B-other.png", 1, "B", "train"))
    frame = pd.DataFrame(rows, columns=["path", "label", "site", "split"])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def write_volume(path: Path, seed: int) -> None:
    """Write a NIfTI volume of Hounsfield units, with lung in the middle of every slice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(-900, 100, (40, 40, 6)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)


def words(folder: Path, *more: str) -> list[str]:
    return [f"data.cache={folder / 'cache'}", "phantom.sites=0", "data.image-size=32", *more]


def found(path: Path) -> pd.DataFrame:
    config = Config(
        data=Data(manifest=str(path), cache=str(path.parent / "cache"), image_size=32),
        phantom=Phantom(sites=0),
    )
    return leaks.find_leaks(survey.survey(config), 0.95).pairs


def test_each_planted_pair_is_found_and_nothing_else(two_sites):
    pairs = found(two_sites)
    assert {
        (frozenset({row.path_1, row.path_2}), row.where, row.identical, row.opposite, row.ours)
        for row in pairs.itertuples()
    } == {
        (frozenset({"A-again.png", "A0.png"}), "splits", False, False, False),
        (frozenset({"A1.png", "B-of-A.png"}), "sites", True, False, False),
        (frozenset({"B-other.png", "B2.png"}), "nowhere", False, True, False),
    }
    assert pairs["opposite"].tolist() == [True, False, False], "the worst come first"
    np.testing.assert_allclose(pairs["correlation"], 1, atol=1e-3)


def test_a_given_split_that_leaks_is_told_but_does_not_fail(two_sites, capsys, tmp_path):
    picture = tmp_path / "a.png"
    command = ["data", "check", *words(tmp_path, f"data.manifest={two_sites}")]
    assert main([*command, "--picture", str(picture)]) == 0
    text = capsys.readouterr().out
    assert "1, 0 of them identical, 0 with OPPOSITE labels" in text
    assert "OPPOSITE labels: B/train positive B-other.png | B/train negative B2.png" in text
    assert f"picture: {picture}" in text and text.startswith("PASSED: no leak")
    assert Image.open(picture).size[0] > 1000


def test_a_drawn_split_never_leaks(two_sites):
    table = pd.read_csv(two_sites).drop(columns="split")
    table.to_csv(two_sites, index=False)
    pairs = found(two_sites)
    assert "splits" not in set(pairs["where"]) and not pairs["ours"].any()


def test_a_leak_of_ours_would_fail(two_sites):
    """Tamper with a drawn split, since drawing never leaks."""
    table = pd.read_csv(two_sites).drop(columns="split")
    table.to_csv(two_sites, index=False)
    config = Config(
        data=Data(manifest=str(two_sites), cache=str(two_sites.parent / "cache"), image_size=32),
        phantom=Phantom(sites=0),
    )
    one = survey.survey(config)[0]
    rows = one.entry.rows
    twin = rows["path"] == "A-again.png"
    other = "train" if rows["split"][twin].item() != "train" else "test"
    moved = rows.assign(split=rows["split"].mask(twin, other))
    tampered = survey.Surveyed(
        one.origin,
        one.summary,
        entry.CacheEntry(moved, one.entry.pixels, one.entry.thumbnails),
    )
    result = leaks.find_leaks([tampered], 0.95)
    assert result.ours == 2 and len(result.straddling) == 1


def test_unusable_files_fail_and_are_named_once(tmp_path, capsys):
    folder = write_sars_cov_2(tmp_path / "sars")
    (folder / "COVID" / "Covid (3).png").write_text("Dear hospital")
    command = ["data", "check", *words(tmp_path, f"data.sars-cov-2={folder}")]
    for more in ([], ["partition.kind=iid", "partition.sites=2"]):
        assert main([*command, *more]) == 1
        text = capsys.readouterr().out
        assert text.count("Covid (3).png: is no PNG") == 1
        assert text.startswith("FAILED: 1 unusable files or rows;")


def test_phantoms_are_surveyed_without_a_search_for_twins(tmp_path, capsys):
    command = ["data", "check", f"data.cache={tmp_path}", "phantom.sites=2", "phantom.patients=8"]
    before = set(Path.cwd().iterdir())
    assert main([*command, "data.image-size=32"]) == 0
    assert re.search(r"phantom-2 .* 16 ", capsys.readouterr().out)
    assert set(Path.cwd().iterdir()) == before, "no picture unless one is asked for"


def test_a_split_of_one_class_fails_and_is_named(two_sites, capsys, tmp_path):
    table = pd.read_csv(two_sites)
    table.loc[(table["site"] == "A") & (table["split"] == "test"), "label"] = 0
    table.loc[(table["site"] == "B") & (table["split"] == "train"), "label"] = 1
    table.to_csv(two_sites, index=False)
    assert main(["data", "check", *words(tmp_path, f"data.manifest={two_sites}")]) == 1
    text = capsys.readouterr().out
    lacking = "A has no positive in test; B has no negative in train."
    assert text.startswith(f"FAILED: a split of one class has no AUC: {lacking}")


def test_classes_are_called_as_their_owner_calls_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    for site in ("north", "south"):
        for number in range(24):
            name = ("NCP", "CP", "Normal")[number % 3]
            save(tmp_path / "d" / site / name, f"{number}.png", number + 100 * (site == "south"))
    given = [f"data.folder={tmp_path / 'd'}", "data.labels=NCP=1,CP=0,Normal=0"]
    picture = tmp_path / "sheet.png"
    assert main(["data", "check", *words(tmp_path, *given)]) == 0
    text = capsys.readouterr().out
    assert "CP or Normal + NCP" in text and "COVID" not in text
    assert main(["data", "sheet", *words(tmp_path, *given), "--picture", str(picture)]) == 0
    assert re.search(r"north: (CP|Normal)/.*NCP/", capsys.readouterr().out)


def of_each_image(config: Config) -> set[tuple[str, str, str, int]]:
    rows = survey.manifest_rows(survey.survey(config))
    return set(zip(rows["site"], rows["split"], rows["sha256"], rows["label"], strict=True))


@pytest.mark.parametrize("beside", [True, False], ids=["relative", "absolute"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_manifest_of_everything_is_read_back_to_the_same_splits(
    tmp_path, capsys, suffix, beside
):
    covid, sars = write_covid_ct(tmp_path / "c"), write_sars_cov_2(tmp_path / "s")
    sources = (f"data.covid-ct={covid}", f"data.sars-cov-2={sars}")
    (tmp_path / "else").mkdir()
    target = tmp_path / ("" if beside else "else") / f"all{suffix}"
    assert main(["data", "manifest", *words(tmp_path, *sources), "--to", str(target)]) == 0
    told = capsys.readouterr().err
    assert f"36 paths are {'relative to' if beside else 'absolute'}" in told
    rows = manifest.read_manifest(target)
    assert rows["site"].value_counts().to_dict() == {"sars-cov-2": 24, "covid-ct": 12}
    size, cache = 32, str(tmp_path / "cache")
    written = Data(covid_ct=str(covid), sars_cov_2=str(sars), cache=cache, image_size=size)
    again = Data(manifest=str(target), cache=cache, image_size=size)
    none = Phantom(sites=0)
    assert of_each_image(Config(data=written, phantom=none)) == of_each_image(
        Config(data=again, phantom=none)
    )


def test_a_manifest_of_a_given_split_that_alike_images_cross_is_read_back(tmp_path, capsys):
    """Nobody knows whether they are of one patient; their group is no patient's name."""
    lines = ["path,label,site,split,patient"]
    for number in range(16):
        save(tmp_path, f"{number}.png", number % 14)  # the last two look like the first two
        split = ("train", "val", "test")[number // 6] if number < 14 else "test"
        lines.append(f"{number}.png,{number % 2},north,{split},{'P9' if number == 0 else ''}")
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")
    target = tmp_path / "written.csv"
    given = words(tmp_path, f"data.manifest={tmp_path / 'own.csv'}")
    assert main(["data", "manifest", *given, "--to", str(target)]) == 0
    rows = pd.read_csv(target, keep_default_na=False)
    assert set(rows[rows["group"] == "P9"]["split"]) == {"train", "test"}
    assert list(rows["patient"]) == ["P9"] + [""] * 15
    capsys.readouterr()
    assert main(["data", "check", *words(tmp_path, f"data.manifest={target}")]) == 0
    assert "is in both" not in capsys.readouterr().err


def test_a_manifest_has_a_row_a_volume_and_none_of_phantoms(tmp_path, capsys):
    for number in range(6):
        write_volume(tmp_path / "d" / ("sick", "well")[number % 2] / f"{number}.nii", number)
    given = [f"data.folder={tmp_path / 'd'}", "data.labels=sick=1,well=0", "data.slices=3"]
    target = tmp_path / "all.csv"
    command = ["data", "manifest", *words(tmp_path, *given), "--to", str(target)]
    assert main([*command, "phantom.sites=1", "phantom.patients=8"]) == 0
    assert "left out: phantom-1, which are synthetic" in capsys.readouterr().err
    assert sorted(manifest.read_manifest(target)["path"]) == [
        f"d/{('sick', 'well')[number % 2]}/{number}.nii" for number in (0, 2, 4, 1, 3, 5)
    ]
    assert main(["data", "manifest", f"data.cache={tmp_path}", "--to", str(target)]) == 2
    assert "synthetic hospitals have no files" in capsys.readouterr().err


def test_a_manifest_that_cannot_be_written_gets_a_sentence(tmp_path, capsys):
    sources = [f"data.sars-cov-2={write_sars_cov_2(tmp_path / 's')}"]
    for wrong, sentence in (("x.xlsx", "is no name of a manifest"), ("none/a.csv", "no folder")):
        wanted = str(tmp_path / wrong)
        assert main(["data", "manifest", *words(tmp_path, *sources), "--to", wanted]) == 2
        assert sentence in capsys.readouterr().err


def test_contact_sheet(tmp_path):
    command = ["data", "sheet", f"data.cache={tmp_path}", "phantom.sites=3", "phantom.patients=8"]
    picture = tmp_path / "sheet.png"
    sizes = ["data.image-size=32", "--columns", "5", "--picture", str(picture)]
    assert main([*command, *sizes]) == 0
    assert Image.open(picture).size[0] > Image.open(picture).size[1] > 500


def test_help_needs_no_heavy_package():
    code = (
        "import sys; from federated.commands.main import main\n"
        "try: main(['data', '--help'])\n"
        "except SystemExit: print({'numpy', 'pandas', 'torch', 'flwr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "check" in done.stdout and done.stdout.endswith("set()\n")


def test_progress_reaches_the_end(tmp_path):
    write_image(tmp_path / "s" / "x.png", 1)
    told: list[tuple[str, int, int]] = []
    config = Config(
        data=Data(sars_cov_2=str(write_sars_cov_2(tmp_path / "s")), cache=str(tmp_path / "c")),
        phantom=Phantom(sites=0),
    )
    survey.survey(config, lambda *progress: told.append(progress))
    assert told[-1] == ("sars-cov-2", 24, 24)
    assert data.prepare(config)
