"""Tables as text: numbers with their spread over seeds, a dash for none, Markdown."""

import math
from collections.abc import Callable, Mapping

import pandas as pd

DASH = "–"

TextColumns = Mapping[str, tuple[str, str | Callable[[float], str]]]
"""Column of numbers -> its header, and the form of its numbers or what makes a text of a mean."""


def number(value: float, form: str) -> str:
    """Return a number in a form such as ``{:.3f}``; a dash if it is undefined."""
    return DASH if pd.isna(value) else form.format(value)


def plus_minus(mean: float, sd: float = math.nan, form: str = "{:.3f}") -> str:
    """Return a mean with its sd, if there is one: ``0.912 ± 0.008``; a dash if undefined."""
    if pd.isna(mean) or pd.isna(sd):
        return number(mean, form)
    # A spread has no sign.
    return f"{form.format(mean)} ± {form.replace('+', '').format(sd)}"


def text_table(frame: pd.DataFrame, by: list[str], columns: TextColumns) -> pd.DataFrame:
    """Return a row of text per group of rows, which are its seeds.

    Args:
        frame: One row per group and seed.
        by: What makes a group, the last of them what is compared side by side.
        columns: What is shown, and how.
    """
    if frame.empty:
        return pd.DataFrame()
    groups = frame.groupby(by, sort=False)
    over_seeds = {name: groups[name].agg(["mean", "std", "nunique", "count"]) for name in columns}
    seeds = groups.size()
    texts = {
        header: _texts(over_seeds[name].assign(seeds=seeds), form)
        for name, (header, form) in columns.items()
    }
    table = pd.DataFrame(texts, index=seeds.index).reset_index()
    # Hospital by hospital, as a reader looks them up; the methods stay as the run has them.
    return table.sort_values(by[:-1], key=_first_seen, kind="stable") if by[1:] else table


def _first_seen(column: pd.Series) -> pd.Series:
    return column.map({name: place for place, name in enumerate(column.unique())})


def _texts(over_seeds: pd.DataFrame, form: str | Callable[[float], str]) -> list[str]:
    """Return mean ± sd unless all are equal, and of how many seeds if some are undefined.

    Args:
        over_seeds: Columns mean, std, nunique, count (of those defined) and seeds.
        form: Of the numbers, or what makes a text of the mean alone.
    """
    if not isinstance(form, str):
        return [form(mean) for mean in over_seeds["mean"]]
    rows = over_seeds.itertuples(index=False, name=None)
    return [
        plus_minus(mean, sd if different > 1 else math.nan, form)
        + (f" ({known} of {seeds})" if known not in (0, seeds) else "")
        for mean, sd, different, known, seeds in rows
    ]


def markdown(table: pd.DataFrame) -> list[str]:
    """Return a table as lines of Markdown, aligned so that they are readable as they are."""
    rows = [[str(name) for name in table.columns], *table.to_numpy().tolist()]
    # A pipe in a site's name would end its cell.
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    return [
        "| " + " | ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
