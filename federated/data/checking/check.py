"""The findings of ``consilium data check`` as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from federated.data.checking.leaks import Leaks
from federated.data.checking.survey import Surveyed, skipped
from federated.data.formats.slices import FEW_GREYS
from federated.data.site import SPLITS
from federated.lazy import pd

SHOWN = 10  # findings of a kind before the rest is only counted


def passed(sites: tuple[Surveyed, ...], leaks: Leaks) -> bool:
    """Return whether no file was unusable and nothing leaks between places that we chose."""
    return not leaks.ours and not any(skipped(sites))


def findings(sites: tuple[Surveyed, ...], leaks: Leaks, threshold: float) -> str:
    """Return the whole report."""
    verdict = "passed" if passed(sites, leaks) else "FAILED"
    blocks = [
        _table(("site", "images", *SPLITS, "COVID", "groups", "split"), map(_counts, sites)),
        _table(("site", "format", "colour", "width", "height", "grey mean"), map(_files, sites)),
        *_notes(sites),
        _block("unusable files and rows, left out", list(skipped(sites))),
        *_leaks(leaks, threshold),
        f"{verdict}: {leaks.ours} leaks between splits or hospitals that we drew, "
        f"{len(list(skipped(sites)))} unusable files",
    ]
    return "\n\n".join(filter(None, blocks))


def _counts(one: Surveyed) -> tuple[str, ...]:
    rows = one.entry.rows
    counts = one.summary.counts
    return (
        one.name,
        str(len(rows)),
        *(f"{counts[split][0]}+{counts[split][1]}" for split in SPLITS),
        f"{100 * rows['label'].mean():.0f} %",
        str(one.summary.groups),
        "drawn" if one.summary.drawn else "given",
    )


def _files(one: Surveyed) -> tuple[str, ...]:
    rows = one.entry.rows
    formats = Counter(rows["format"] + " " + rows["mode"])
    return (
        one.name,
        ", ".join(f"{count} {name}" for name, count in formats.most_common()),
        str(int(rows["colour"].sum())),
        _range(rows["width"]),
        _range(rows["height"]),
        f"{one.entry.pixels[:: max(1, len(rows) // 256)].mean():.0f}",
    )


def _range(values: pd.Series) -> str:
    return f"{values.min()}-{values.median():.0f}-{values.max()}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return columns that line up; splits are non-COVID + COVID, ranges least-median-greatest."""
    table = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _notes(sites: Sequence[Surveyed]) -> Iterable[str]:
    for one in sites:
        texts = [text for cell in one.entry.rows["odd"] for text in cell.split("; ")]
        odd = Counter(text for text in texts if text not in ("", FEW_GREYS))  # a note tells these
        lines = [*one.summary.notes, *(f"{count} x {text}" for text, count in odd.most_common())]
        lines += [
            f"{split}: no image is {name}; AUC is undefined there"
            for split, pair in one.summary.counts.items()
            for count, name in zip(pair, ("non-COVID", "COVID"), strict=True)
            if count == 0 and max(pair) > 0
        ]
        yield _block(f"{one.name}: notes", lines)


def _leaks(leaks: Leaks, threshold: float) -> Iterable[str]:
    pairs = leaks.pairs
    for where, title in (
        ("splits", "pairs in two splits of a site"),
        ("sites", "pairs in two sites"),
        ("nowhere", "pairs with opposite labels in one split"),
    ):
        these = pairs[pairs["where"] == where]
        yield _block(
            f"{title}, identical or correlated above {threshold:g}: {len(these)}, "
            f"{int(these['identical'].sum())} of them identical, "
            f"{int(these['opposite'].sum())} with OPPOSITE labels, "
            f"{int(these['ours'].sum())} between places that we drew",
            [_pair(row) for row in these.head(SHOWN).to_dict("index").values()],
            more=len(these) - SHOWN,
            always=True,
        )
    yield _block("patients or groups in two places that we drew", list(leaks.straddling))


def _pair(row: Mapping[Any, Any]) -> str:
    alike = "identical" if row["identical"] else f"r = {row['correlation']:.3f}"
    ends = [
        f"{row[f'site_{n}']}/{row[f'split_{n}']} "
        f"{'COVID' if row[f'label_{n}'] else 'non-COVID'} {row[f'path_{n}']}"
        for n in (1, 2)
    ]
    return f"{alike}{', OPPOSITE labels' if row['opposite'] else ''}: {ends[0]} | {ends[1]}"


def _block(title: str, lines: list[str], *, more: int = 0, always: bool = False) -> str:
    if not (lines or always):
        return ""
    shown = lines[:SHOWN]
    more = max(more, len(lines) - SHOWN)
    rest = [f"... and {more} more"] if more > 0 else []
    return "\n".join([title, *(f"  {line}" for line in [*shown, *rest])])
