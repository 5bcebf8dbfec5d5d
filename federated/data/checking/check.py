"""The findings of ``consilium data check``: a verdict, tables, and what they do not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federated.data.checking.leaks import Leaks
from federated.data.checking.survey import Surveyed, skipped
from federated.data.formats.slices import FEW_GREYS
from federated.data.site import SPLITS
from federated.lazy import pd

SHOWN = 10  # findings of a kind before the rest is only counted


@dataclass(frozen=True)
class Findings:
    """What was found.

    Attributes:
        problems: a sentence for each kind of thing that must be mended; empty: the data passed.
        explained: how the table of images is to be read.
        images: a row of texts per hospital: how many images of which class in which split.
        files: a row of texts per hospital: formats and sizes.
        blocks: notes, unusable files and leaks as lines of text.
    """

    problems: tuple[str, ...]
    explained: str
    images: pd.DataFrame
    files: pd.DataFrame
    blocks: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """The conclusion, in one sentence or one a problem."""
        if not self.problems:
            return (
                "PASSED: no leak between splits or hospitals that we drew, no unusable file, no "
                "split of one class."
            )
        return "\n".join(f"FAILED: {problem}" for problem in self.problems)


def findings(sites: tuple[Surveyed, ...], leaks: Leaks, threshold: float) -> Findings:
    """Return all that was found.

    Args:
        sites: the hospitals.
        leaks: between and within them.
        threshold: correlation above which two images count as alike.
    """
    unusable = list(skipped(sites))
    blocks = [
        *_notes(sites),
        _block("unusable files and rows, left out", unusable),
        *_leaks(leaks, threshold, sites),
    ]
    return Findings(
        tuple(_problems(sites, leaks, len(unusable))),
        _explained(sites[0]),
        pd.DataFrame([_counts(one) for one in sites]),
        pd.DataFrame([_files(one) for one in sites]),
        tuple(filter(None, blocks)),
    )


def _problems(sites: Sequence[Surveyed], leaks: Leaks, unusable: int) -> Iterator[str]:
    if leaks.ours:
        yield f"{leaks.ours} leaks between splits or hospitals that we drew; they are listed below."
    if unusable:
        yield (
            f"{unusable} unusable files or rows; mend or remove those below, or go on without them "
            "with data.strict=false."
        )
    if lacking := [text for one in sites for text in _lacking(one)]:
        more = f", and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        yield (
            f"a split of one class has no AUC: {'; '.join(lacking[:SHOWN])}{more}. Give the "
            "hospital more images, or other shares by data.val-fraction, data.test-fraction, "
            "data.split-seed or partition.*."
        )


def _lacking(one: Surveyed) -> Iterator[str]:
    """Yield which split of a hospital lacks one of the classes."""
    for split in SPLITS:
        for count, name in zip(one.summary.counts[split], one.summary.classes, strict=True):
            if count == 0 and sum(one.summary.counts[split]) > 0:
                yield f"{one.name} has no {name} in {split}"


def _explained(one: Surveyed) -> str:
    counts, names = one.summary.counts["train"], one.summary.classes
    *first, last = [f"{count} {name}" for count, name in zip(counts, names, strict=True)]
    return (
        f"Images of each class in each split: {' + '.join(map(str, counts))} in train of "
        f"{one.name} are {', '.join(first)} and {last}."
    )


def _counts(one: Surveyed) -> dict[str, str]:
    rows, counts = one.entry.rows, one.summary.counts
    return {
        "site": one.name,
        "classes": " + ".join(one.summary.classes),
        "images": str(len(rows)),
        **{split: " + ".join(map(str, counts[split])) for split in SPLITS},
        **_share(one),
        "groups": str(one.summary.groups),
        "split": "drawn" if one.summary.drawn else "given",
    }


def _share(one: Surveyed) -> dict[str, str]:
    """Return the share of the second class, where there are two; of more the counts tell it."""
    if len(one.summary.classes) > 2:
        return {}
    return {"second class": f"{100 * one.entry.rows['label'].mean():.0f} %"}


def _files(one: Surveyed) -> dict[str, str]:
    rows = one.entry.rows
    formats = Counter(rows["format"] + " " + rows["mode"])
    return {
        "site": one.name,
        "format": ", ".join(f"{count} {name}" for name, count in formats.most_common()),
        "in colour": str(int(rows["colour"].sum())),
        "width": _range(rows["width"]),
        "height": _range(rows["height"]),
        "mean grey": f"{one.entry.pixels[:: max(1, len(rows) // 256)].mean():.0f}",
    }


def _range(values: pd.Series) -> str:
    """Return least, median and greatest."""
    return f"{values.min()}-{values.median():.0f}-{values.max()}"


def _notes(sites: Sequence[Surveyed]) -> Iterable[str]:
    for one in sites:
        texts = [text for cell in one.entry.rows["odd"] for text in cell.split("; ")]
        odd = Counter(text for text in texts if text not in ("", FEW_GREYS))  # a note tells these
        lines = [*one.summary.notes, *(f"{count} x {text}" for text, count in odd.most_common())]
        empty = [split for split in SPLITS if not sum(one.summary.counts[split])]
        lines += [f"no image is in {split}" for split in empty]
        yield _block(f"{one.name}: notes", lines)


def _leaks(leaks: Leaks, threshold: float, sites: Sequence[Surveyed]) -> Iterable[str]:
    pairs, classes = leaks.pairs, {one.name: one.summary.classes for one in sites}
    for where, title in (
        ("splits", "pairs in two splits of a site"),
        ("sites", "pairs in two sites"),
        ("nowhere", "pairs with opposite labels in one split"),
    ):
        these = pairs[pairs["where"] == where]
        said = f"{title}, identical or correlated above {threshold:g}: {len(these) or 'none'}"
        if len(these):
            said += (
                f", {int(these['identical'].sum())} of them identical, "
                f"{int(these['opposite'].sum())} with OPPOSITE labels, "
                f"{int(these['ours'].sum())} between places that we drew"
            )
        lines = [_pair(row, classes) for row in these.head(SHOWN).to_dict("index").values()]
        yield _block(said, lines, more=len(these) - SHOWN, always=True)
    yield _block("patients or groups in two places that we drew", list(leaks.straddling))


def _pair(row: Mapping[Any, Any], classes: Mapping[str, tuple[str, ...]]) -> str:
    alike = "identical" if row["identical"] else f"r = {row['correlation']:.3f}"
    ends = [
        f"{row[f'site_{n}']}/{row[f'split_{n}']} "
        f"{classes[row[f'site_{n}']][row[f'label_{n}']]} {row[f'path_{n}']}"
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
