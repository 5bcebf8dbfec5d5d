"""Two folders or values that would become one hospital are both named."""

from dataclasses import replace

import pytest
from test_data_files import config_of, images_of

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.errors import UserError

ALIKE = [
    ("Clinic (1)", "Clinic [1]"),
    ("North", "north"),
    ("North  1", "North 1"),
    ("Ko\u0308ln", "K\u00f6ln"),
    ("Stra\u00dfe", "strasse"),
    ("\ufb01eld", "field"),
]


@pytest.mark.parametrize(("first", "second"), ALIKE)
def test_two_folders_that_become_one_hospital(tmp_path, first, second):
    images_of(tmp_path / "own" / first)
    try:
        (tmp_path / "own" / second).mkdir()
    except FileExistsError:
        pytest.skip("this file system takes them for one")
    images_of(tmp_path / "own" / second, 1000)
    with pytest.raises(UserError, match=r"both (become the hospital|are too alike)") as caught:
        data.site_names(config_of(tmp_path / "own"))
    assert first in str(caught.value) and second in str(caught.value)


@pytest.mark.parametrize(("first", "second"), [*ALIKE[1:], ("North", "North ")])
@pytest.mark.parametrize("column", ["site", "scanner"])
def test_two_values_of_a_manifest_that_become_one_hospital(tmp_path, first, second, column):
    path = tmp_path / "mine.csv"
    rows = [f"{number}.png,{number % 2},{(first, second)[number // 4]}" for number in range(8)]
    path.write_text("\n".join([f"path,label,{column}", *rows]), encoding="utf-8")
    columns = "" if column == "site" else "site="
    settings = Data(manifest=str(path), cache=str(tmp_path / "cache"), columns=columns)
    config = Config(data=settings, phantom=Phantom(sites=0))
    if column == "scanner":
        dealt = replace(config.partition, kind="column", column="scanner")
        config = replace(config, partition=dealt)
    with pytest.raises(UserError, match=r"both (become the hospital|are too alike)") as caught:
        data.site_names(config)
    assert first in str(caught.value) and second in str(caught.value)


def test_names_of_two_sources_that_differ_in_case(tmp_path):
    images_of(tmp_path / "own" / "Phantom-1")
    config = replace(config_of(tmp_path / "own"), phantom=Phantom(sites=1))
    with pytest.raises(UserError, match="two hospitals are called 'Phantom-1' and 'phantom-1'"):
        data.site_names(config)
