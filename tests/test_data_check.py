"""``consilium data``: planted leaks are found, and only ours make it fail."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_data_sources import write_covid_ct, write_image, write_sars_cov_2

import federated.data as data
from federated.commands.main import main
from federated.config.schema import Config, Data, Phantom
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
    assert "OPPOSITE labels: B/train COVID B-other.png | B/train non-COVID B2.png" in text
    assert f"picture: {picture}" in text and "passed: 0 leaks" in text
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
    picture = ["--picture", str(tmp_path / "a.png")]
    for more in ([], ["partition.kind=iid", "partition.sites=2"]):
        assert main([*command, *more, *picture]) == 1
        text = capsys.readouterr().out
        assert text.count("Covid (3).png: is no PNG") == 1
        assert "FAILED: 0 leaks" in text and "1 unusable" in text


def test_phantoms_are_surveyed_without_a_search_for_twins(tmp_path, capsys):
    command = ["data", "check", f"data.cache={tmp_path}", "phantom.sites=2", "phantom.patients=8"]
    assert main([*command, "data.image-size=32", "--picture", str(tmp_path / "a.png")]) == 0
    assert "phantom-2  16" in capsys.readouterr().out


def test_one_manifest_of_everything(tmp_path, capsys):
    covid, sars = write_covid_ct(tmp_path / "c"), write_sars_cov_2(tmp_path / "s")
    sources = (f"data.covid-ct={covid}", f"data.sars-cov-2={sars}")
    target = tmp_path / "all.parquet"
    assert main(["data", "manifest", *words(tmp_path, *sources), "--to", str(target)]) == 0
    rows = manifest.read_manifest(target)
    assert rows["site"].value_counts().to_dict() == {"sars-cov-2": 24, "covid-ct": 12}
    for wrong, sentence in (("x.xlsx", "is no name of a manifest"), ("none/a.csv", "no folder")):
        wanted = str(tmp_path / wrong)
        assert main(["data", "manifest", *words(tmp_path, *sources), "--to", wanted]) == 2
        assert sentence in capsys.readouterr().err


def test_contact_sheet(tmp_path):
    command = ["data", "sheet", f"data.cache={tmp_path}", "phantom.sites=3", "phantom.patients=8"]
    picture = tmp_path / "sheet.png"
    sizes = ["data.image-size=32", "--columns", "5", "--picture", str(picture)]
    assert main([*command, *sizes]) == 0
    assert Image.open(picture).size == (5 * 37, 3 * 37)


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
