"""A run's CSV files as Arrow tables: words once each, so that tens of millions of rows are few GB.

pandas would hold the name of a hospital anew in every row. Here a column of words is a list of the
different words and a number a row; what a figure shows is looked up by these numbers, and only
that becomes a DataFrame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from federated.lazy import pd
from federated.runs.columns import ROUND

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

ROWS_AT_ONCE = 2**20
"""Rows that are written to Parquet together."""


def read_table(path: Path, columns: Mapping[str, type], methods: Sequence[str]) -> pa.Table:
    """Return a CSV file as a table, sorted by method as ``methods`` has them, seed and round.

    Numbers come back with the very bits that were written, NaN and infinities included.

    Args:
        path: The file; its first line names the columns.
        columns: The columns, and ``str``, ``int`` or ``float`` of each.
        methods: In their order.

    Raises:
        ValueError: it is no such table.
    """
    import pyarrow as pa
    from pyarrow import csv

    kinds = {str: pa.dictionary(pa.int32(), pa.string()), int: pa.int64(), float: pa.float64()}
    options = csv.ConvertOptions(
        column_types={name: kinds[kind] for name, kind in columns.items()},
        # NaN is a number that is not defined, and a word such as "null" is one.
        null_values=[],
        strings_can_be_null=False,
    )
    table = csv.read_csv(path, convert_options=options)
    if table.column_names != list(columns):
        raise ValueError(f"its columns are not {', '.join(columns)}")
    return in_order(table.unify_dictionaries().combine_chunks(), methods)


def in_order(table: pa.Table, methods: Sequence[str]) -> pa.Table:
    """Return the rows sorted by method, seed and round, else as they were."""
    place = {name: number for number, name in enumerate(methods)}
    codes, words = _coded(table, ROUND[0])
    places = np.array([place.get(word, len(place)) for word in words], np.int64)[codes]
    rows = sorted_rows(places, *(table[name].to_numpy() for name in ROUND[1:]))
    return table if rows is None else table.take(rows)


def sorted_rows(*keys: npt.NDArray[Any]) -> npt.NDArray[np.intp] | None:
    """Return the rows in the order of some keys, the first before the others.

    None if they are in it, as those of a run are that was not resumed with other methods: to see
    that takes a tenth of the time of sorting.
    """
    are_equal = np.ones(max(len(keys[0]) - 1, 0), bool)
    for key in keys:
        steps = np.diff(key)
        if (steps[are_equal] < 0).any():
            return np.lexsort(keys[::-1])
        are_equal &= steps == 0
    return None


def words_in(table: pa.Table, column: str) -> list[str]:
    """Return the different words of a column, in the order in which the file has them."""
    return _coded(table, column)[1]


def chosen(table: pa.Table, **wanted: str) -> pa.Table:
    """Return the rows in which each named column has the wanted word."""
    rows = np.ones(len(table), bool)
    for column, word in wanted.items():
        codes, words = _coded(table, column)
        if word not in words:
            return table.slice(0, 0)
        rows &= codes == words.index(word)
    return table.take(np.flatnonzero(rows))


def _coded(table: pa.Table, column: str) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return the number of each row's word, and the words."""
    import pyarrow as pa

    array = table[column].combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # one without a chunk
        return np.empty(0, np.int32), []
    return array.indices.to_numpy(), array.dictionary.to_pylist()


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as a DataFrame, whose words are strings."""
    frame: pd.DataFrame = _spelled(table).to_pandas()
    return frame


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, words as strings; some rows at a time, to need little memory."""
    from pyarrow import parquet

    with parquet.ParquetWriter(path, _spelled(table.slice(0, 0)).schema) as writer:
        for start in range(0, len(table), ROWS_AT_ONCE):
            writer.write_table(_spelled(table.slice(start, ROWS_AT_ONCE)))


def _spelled(table: pa.Table) -> pa.Table:
    """Return a table whose columns of words hold the words."""
    import pyarrow as pa

    is_word = pa.types.is_dictionary
    fields = [
        pa.field(f.name, pa.large_string() if is_word(f.type) else f.type) for f in table.schema
    ]
    return table.cast(pa.schema(fields))
