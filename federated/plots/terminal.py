"""Tables in a terminal, all in one style and no wider than the terminal, of 60 to 120 columns."""

import io
import re
import shutil
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

NARROWEST, WIDEST = 60, 120
MOST_ROWS = 60
"""Rows that are printed, since a terminal has no use for a thousand; files have all."""
LONGEST_LINE = 100
"""Letters of a line of text; a table may be wider."""
FEWEST_LETTERS = 12
"""Of a column that names rows and has longer words."""
GAP = 2
"""Blanks between two columns."""

_HOLDS = "\ue000"
"""Stands for a blank at which no line ends, while rich lays a table out."""
_WHOLE = re.compile(r"[-+\d.–]+(?: \[[^\]]*\]| ± [\d.]+)")
"""A number with its interval or its spread, wherever in a cell."""

_NUMBER = re.compile(r"[-+]?\d(?!.*[^\W\d]{3})|–$")
"""A cell of numbers, perhaps with a unit or a mark, or of none; no text that begins with one."""


def printed(frame: "pd.DataFrame") -> str:
    """Return a table of texts as lines that fit the terminal.

    A column of numbers stands to the right. Where the table is too wide, texts go on in the next
    line; where that is not enough, the columns that do not fit follow in a table below, behind the
    same first columns. A number is never broken.

    Args:
        frame: Of texts; its columns are the header.
    """
    columns = [_Column(str(name), list(map(str, frame[name].head(MOST_ROWS)))) for name in frame]
    most = width()
    tables = [rendered(_table(some, most)) for some in _fitting(columns, most)]
    left = len(frame) - MOST_ROWS
    return "\n\n".join(tables) + (f"\n… and {left} more rows" if left > 0 else "")


def rendered(table: Table) -> str:
    """Return a table as plain lines that fit the terminal."""
    text = io.StringIO()
    Console(file=text, width=width(), color_system=None, legacy_windows=False).print(table)
    lines = text.getvalue().replace(_HOLDS, " ").rstrip().splitlines()
    return "\n".join(line.rstrip() for line in lines)


def wrapped(text: str) -> list[str]:
    """Return a text as lines that fit the terminal, none longer than is read easily."""
    most = min(LONGEST_LINE, width())
    return wrap(text, most, break_on_hyphens=False, break_long_words=False)


def width() -> int:
    """Return how many columns a table may take; the widest where no terminal is watching."""
    columns = shutil.get_terminal_size(fallback=(WIDEST, 24)).columns
    return min(max(columns, NARROWEST), WIDEST)


class _Column:
    """A column, how narrow it may become, and how wide it would like to be."""

    def __init__(self, name: str, cells: list[str]) -> None:
        self.name, self.cells = name, cells
        self.is_number = all(map(_NUMBER.match, cells))
        if not self.is_number:
            self.cells = [_WHOLE.sub(lambda m: m[0].replace(" ", _HOLDS), one) for one in cells]
        whole = cells if self.is_number else [word for cell in self.cells for word in cell.split()]
        self.least = min(max(map(len, (*whole, *name.split())), default=1), NARROWEST // 2)
        self.most = max(self.least, *map(len, (*self.cells, name)))

    @property
    def side(self) -> Literal["left", "right"]:
        return "right" if self.is_number else "left"


def _fitting(columns: Sequence[_Column], most: int) -> list[list[_Column]]:
    """Return the columns of each table, as many in one as fit, those that name the row in all."""
    keys = _keys(columns, most)
    tables = [keys.copy()]
    for column in columns[len(keys) :]:
        if _least([*tables[-1], column]) > most:
            tables.append(keys.copy())
        tables[-1].append(column)
    return tables


def _keys(columns: Sequence[_Column], most: int) -> list[_Column]:
    """Return the one or two first columns, which name the row: two if both are short texts."""
    two = list(columns[:2])
    if len(two) < 2 or any(one.is_number for one in two):
        return two[:1]
    room = most // 2 - two[0].least - GAP
    if room < min(two[1].least, FEWEST_LETTERS):
        return two[:1]
    # A long word of the second goes on in the next line: each table says whose its rows are.
    two[1].least = min(two[1].least, room)
    return two


def _least(columns: Sequence[_Column]) -> int:
    return sum(one.least + GAP for one in columns) - GAP


def _widths(columns: Sequence[_Column], most: int) -> list[int]:
    """Return each column's width: its least, and of what is left as much as it has a use for.

    Not left to rich, which takes from a wide column also what its words and numbers need.
    """
    widths = [one.least for one in columns]
    left = most - _least(columns)
    by_wish = sorted(range(len(columns)), key=lambda place: columns[place].most - widths[place])
    for done, place in enumerate(by_wish):
        share = left // (len(columns) - done)
        more = max(0, min(share, columns[place].most - widths[place]))
        widths[place] += more
        left -= more
    return widths


def _table(columns: Sequence[_Column], most: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for one, wide in zip(columns, _widths(columns, most), strict=True):
        table.add_column(Text(one.name), justify=one.side, overflow="fold", width=wide)
    for row in zip(*(one.cells for one in columns), strict=True):
        table.add_row(*map(Text, row))
    return table
