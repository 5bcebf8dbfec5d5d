"""Tables of users, CSV or parquet, with every cell as text and rows numbered as spreadsheets do.

CSV is taken as spreadsheets and programs write it: UTF-8 or UTF-16, separated by commas,
semicolons, tabs or bars, with line breaks in quotes, empty rows, and empty cells beyond the header.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from io import StringIO
from pathlib import Path

from federated.data.files import read_file, text_of
from federated.errors import UserError, did_you_mean
from federated.lazy import pd

SEPARATORS = ",;\t|"
_ANNOUNCED = re.compile(r"sep=(.)(\r\n|\n|\r)")


def read_table(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    """Read CSV or parquet with every cell as text, missing ones empty; the index is the row number.

    Args:
        path: of the file.
        wanted: columns by which the separator of CSV is recognised.

    Raises:
        UserError: it is no table, or a row of it has more cells than there are columns.
    """
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{path}: is no manifest; give a .csv, .tsv or .parquet file")
    try:
        return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path, wanted)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such manifest; correct data.manifest") from error
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's parse errors are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as a table ({reason}); write it again as UTF-8 CSV or parquet"
        ) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    if not path.is_file():
        read_file(path)  # says what it is instead
    frame = pd.read_parquet(path)
    text = frame.astype(object).where(frame.notna(), "").astype(str)
    return text.set_axis(range(1, len(text) + 1), axis=0)


def _read_csv(path: Path, wanted: Collection[str]) -> pd.DataFrame:
    text = text_of(read_file(path))
    if not text.strip():
        raise ValueError("it is empty")
    if announced := _ANNOUNCED.match(text):  # as spreadsheets tell each other
        separator, text = announced[1], announced[2] + text[announced.end() :]
    else:
        separator = _separator(text, wanted)
    records = list(csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True))
    start = next(number for number, cells in enumerate(records) if any(cells))
    header = [name if name in wanted else name.strip() for name in records[start]]
    rows = {
        number: _fitted(cells, len(header), path, number)
        for number, cells in enumerate(records[start + 1 :], start + 2)
        if any(cell.strip() for cell in cells)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=range(len(header)), dtype=str)
    return table.set_axis(header, axis=1)


def _separator(text: str, wanted: Collection[str]) -> str:
    """Return the separator by which the header has most wanted columns, then most columns."""
    start = text.lstrip("\r\n")

    def fit(separator: str) -> tuple[int, int]:
        header = next(csv.reader(StringIO(start, newline=""), delimiter=separator))
        return len(set(wanted) & {name.strip() for name in header}), len(header)

    return max(SEPARATORS, key=fit)  # the first of equals: the comma


def _fitted(cells: list[str], width: int, path: Path, number: int) -> list[str]:
    """Return a row with as many cells as columns; empty ones beyond these mean nothing."""
    if any(cells[width:]):
        raise UserError(
            f"{path}: row {number} has {len(cells)} cells for {width} columns; put cells that hold "
            "the separator in quotes"
        )
    return (cells + [""] * width)[:width]


def need_columns(frame: pd.DataFrame, needed: Iterable[str], path: Path) -> None:
    """Refuse a table that lacks a column, or has it twice."""
    for column in needed:
        columns = [str(name) for name in frame.columns]
        if columns.count(column) > 1:
            raise UserError(f"{path}: has the column '{column}' twice; remove or rename one")
        if column not in columns:
            raise UserError(
                f"{path}: has no column '{column}' among {', '.join(columns)}"
                f"{did_you_mean(column, columns)}; add or rename it"
            )


def row_sentence(frame: pd.DataFrame, index: int, path: Path, complaint: str) -> str:
    """Return what is wrong with a row, numbered as a spreadsheet shows it (in CSV the header is 1).

    Args:
        frame: the table.
        index: position of the row.
        path: of the manifest.
        complaint: what is wrong and what to do, with {column} for the row's values.
    """
    cells = frame.iloc[index]
    return f"{path}: row {cells.name} {complaint.format_map(cells.to_dict())}"
