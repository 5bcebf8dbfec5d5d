"""Manifests as spreadsheets, exports and hands write them."""

import codecs
from dataclasses import replace
from pathlib import Path

import pytest
from test_data_sources import write_image

import federated.data as data
from federated.config.images import Data, Phantom
from federated.config.schema import Config
from federated.data.sources import usermanifest
from federated.errors import UserError

ROWS = [("a.png", "1", "A"), ("dir b/ü.png", "0", "A"), ("c;d.png", "covid", "B")]
HEADER = ("path", "label", "site")


def read(folder: Path, text: str | bytes, name: str = "mine.csv") -> list[tuple[object, ...]]:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows, skipped = usermanifest.read_user_manifest(path)
    assert skipped == ()
    return [tuple(row) for row in rows[["path", "label", "site"]].to_numpy().tolist()]


EXPECTED = [("a.png", 1, "A"), ("dir b/ü.png", 0, "A"), ("c;d.png", 1, "B")]


def table(separator: str = ",", end: str = "\n", after: str = "", header_after: str = "") -> str:
    """Return the rows as text, cells that hold the separator in quotes."""
    lines = [separator.join(HEADER) + header_after]
    for row in ROWS:
        cells = [f'"{cell}"' if separator in cell else cell for cell in row]
        lines.append(separator.join(cells) + after)
    return end.join([*lines, ""])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path, separator, end):
    assert read(tmp_path, table(separator, end)) == EXPECTED


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("header", ["", "one"])
def test_rows_that_end_in_a_separator(tmp_path, separator, header):
    text = table(separator, after=separator, header_after=separator if header else "")
    assert read(tmp_path, text) == EXPECTED
    assert read(tmp_path, table(separator, after=3 * separator)) == EXPECTED


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_encodings(tmp_path, mark, encoding):
    assert read(tmp_path, mark + table().encode(encoding)) == EXPECTED


def test_other_encodings_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"mine\.csv: cannot be read as a table .*write it again"):
        read(tmp_path, table().encode("latin-1"))


def test_empty_rows_mean_nothing_and_count_as_rows(tmp_path):
    text = "\npath,label,site\n\na.png,1,A\n,,\n   \nb.png,0,A\n\n"
    assert read(tmp_path, text) == [("a.png", 1, "A"), ("b.png", 0, "A")]
    with pytest.raises(UserError, match="row 7 has the unknown label 'x'"):
        read(tmp_path, text.replace("b.png,0", "b.png,x"))


def test_line_breaks_in_quotes_are_one_row(tmp_path):
    text = 'path,label,site,note\na.png,1,A,"two\nlines"\nb.png,x,A,\n'
    with pytest.raises(UserError, match="row 3 has the unknown label 'x'"):
        read(tmp_path, text)


def test_spaces_around_the_names_of_columns(tmp_path):
    assert read(tmp_path, "path , label, site\na.png,1,A\n") == [("a.png", 1, "A")]


def test_more_cells_than_columns(tmp_path):
    with pytest.raises(UserError, match="row 3 has 4 cells for 3 columns; put cells"):
        read(tmp_path, "path,label,site\na.png,1,A\nb,c.png,1,A\n")


@pytest.mark.parametrize("twice", ["path", "site", "patient", "split"])
def test_a_column_twice(tmp_path, twice):
    header = ["path", "label", "site", "patient", "split", twice]
    with pytest.raises(UserError, match=f"has the column '{twice}' twice; remove or rename"):
        read(tmp_path, ",".join(header) + "\na,1,A,p,train,x\n")
    assert read(tmp_path, "path,label,site,note,note\na.png,1,A,x,y\n") == [("a.png", 1, "A")]


@pytest.fixture
def config(tmp_path):
    for number in range(6):
        write_image(tmp_path / f"{number}.png", number)
    settings = Data(
        manifest=str(tmp_path / "mine.csv"), cache=str(tmp_path / "cache"), image_size=32
    )
    return Config(data=settings, phantom=Phantom(sites=0))


def listed(config: Config, *more: str) -> Config:
    rows = [f"{number}.png,{number % 2},A" for number in range(6)]
    Path(config.data.manifest).write_text("\n".join(["path,label,site", *rows, *more]))
    return config


def test_one_file_under_two_names(config, tmp_path):
    (tmp_path / "link.png").symlink_to("0.png")
    for again in ("./0.png", "x/../0.png", str(tmp_path / "0.png"), "link.png", ".//0.png"):
        (tmp_path / "x").mkdir(exist_ok=True)
        strict = listed(config, f"{again},0,A")
        with pytest.raises(UserError, match=r"list(s|ed) .*again|is the same file as"):
            data.prepare(strict)
        lenient = replace(strict, data=replace(strict.data, strict=False))
        (summary,) = data.prepare(lenient)
        assert sum(map(sum, summary.counts.values())) == 6 and len(summary.skipped) == 1


def test_absolute_and_relative_paths_may_be_mixed(config, tmp_path):
    write_image(tmp_path / "elsewhere" / "7.png", 7)
    (summary,) = data.prepare(listed(config, f"{tmp_path}/elsewhere/7.png,1,A"))
    assert sum(map(sum, summary.counts.values())) == 7


@pytest.mark.parametrize("wrong", ["0.PNG", "0.jpeg"])
def test_a_missing_file_is_named_with_the_nearest_there(config, wrong):
    with pytest.raises(UserError, match=rf"names the image '{wrong}'.*did you mean '0\.png'"):
        data.prepare(listed(config, f"{wrong},0,A"))


def test_tab_separated_by_name(tmp_path):
    assert read(tmp_path, table("\t"), "mine.tsv") == EXPECTED


def test_a_spreadsheets_first_line_on_its_separator(tmp_path):
    assert read(tmp_path, "sep=|\npath|label|site\na;b,c.png|1|A\n") == [("a;b,c.png", 1, "A")]
    with pytest.raises(UserError, match="row 3 has the unknown label 'x'"):
        read(tmp_path, "sep=;\r\npath;label;site\r\na;x;A\r\n")


def test_a_path_as_windows_writes_it(config, tmp_path):
    write_image(tmp_path / "img" / "9.png", 9)
    with pytest.raises(UserError, match=r"the image 'img\\9\.png'; write its path with / inst"):
        data.prepare(listed(config, "img\\9.png,1,A"))
