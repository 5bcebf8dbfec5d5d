"""A user's own manifest: fewer columns than the full format, under whatever names.

Rules for bad rows (unknown label or split, no path, unusable site, a repetition): strict stops at
the first; otherwise they are left out and each gets its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from federated.data.site import SPLITS
from federated.data.sources.manifest import (
    label_of,
    need_columns,
    path_and_site_checks,
    read_table,
    row_sentence,
)
from federated.errors import UserError, did_you_mean
from federated.lazy import pd

COLUMNS = ("path", "label", "site", "patient", "split")
_SPLITS = {**dict(zip(SPLITS, SPLITS, strict=True)), "validation": "val", "": ""}
_NONE: Mapping[str, str] = MappingProxyType({})
_NO_LABELS: Mapping[str, int] = MappingProxyType({})


def read_user_manifest(
    path: Path,
    columns: Mapping[str, str] = _NONE,
    labels: Mapping[str, int] = _NO_LABELS,
    *,
    strict: bool = True,
    whole: str = "site",
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read path, site, label (int64), patient, split and hospital, and a sentence per bad row.

    Columns ``path``, ``label`` and ``site`` are needed; ``patient`` (or ``group``) and ``split``
    may be there, as may others, which are ignored. Labels are 0 and 1 or names such as ``COVID``
    and ``non-COVID``. Unknown patients and splits are empty. Relative paths are relative to the
    manifest's folder.

    Args:
        path: of the CSV or parquet file.
        columns: name above -> the file's own; an empty one for ``site`` makes all images one site;
            ``hospital`` is any column.
        labels: names of classes beyond the usual.
        strict: stop at the first bad row.
        whole: name of that one site.

    Raises:
        UserError: naming the file, the row and the remedy.
    """
    text = _renamed(read_table(path), columns, path, whole)
    empty = pd.Series("", index=text.index, dtype=str)
    frame = pd.DataFrame(
        {
            "path": text["path"],
            "site": text["site"].str.strip(),
            "label": text["label"].map(lambda label: label_of(label, labels)),
            "patient": text.get("patient", text.get("group", empty)).str.strip(),
            "split": text.get("split", empty).str.strip().str.lower().map(_SPLITS.get),
            "hospital": text.get("hospital", empty).str.strip(),
        }
    )
    shown = text.assign(site=frame["site"])
    checks = [
        (
            frame["label"].isna(),
            "has the unknown label '{label}'; use 1 or covid, 0 or non-covid, or set data.labels",
        ),
        (frame["split"].isna(), "has the unknown split '{split}'; use train, val or test"),
        *path_and_site_checks(frame),
    ]
    bad = pd.Series(False, index=frame.index)
    skipped: list[str] = []
    for which, complaint in checks:
        for index in (which & ~bad).to_numpy().nonzero()[0].tolist():
            skipped.append(row_sentence(shown, index, path, complaint))
            if strict:
                raise UserError(skipped[0])
        bad |= which
    frame = frame[~bad]
    if frame.empty:
        raise UserError(f"{path}: lists no image; add a row per image (skipped: {len(skipped)})")
    return frame.astype({"label": "int64"}), tuple(skipped)


def refuse_repeats(rows: pd.DataFrame, path: Path) -> None:
    """Refuse a manifest that is one data set and lists a file for two sites.

    Raises:
        UserError: naming the file.
    """
    again = rows["path"][rows["path"].duplicated()]
    if len(again):
        raise UserError(
            f"{path}: lists '{again.iloc[0]}' for two sites; a partition needs each image once, so "
            "remove one of the rows"
        )


def _renamed(
    text: pd.DataFrame, columns: Mapping[str, str], path: Path, whole: str
) -> pd.DataFrame:
    """Return the table under our names."""
    known = (*COLUMNS, "hospital")
    for ours in columns:
        if ours not in known:
            raise UserError(
                f"data.columns names '{ours}', which is none of {', '.join(COLUMNS)}"
                f"{did_you_mean(ours, COLUMNS)}"
            )
    need_columns(text, [theirs for theirs in columns.values() if theirs], path)
    found = text.copy()
    for ours, theirs in columns.items():
        if theirs:
            found[ours] = text[theirs]
        elif ours == "site":
            found[ours] = whole
    need_columns(found, ("path", "label", "site"), path)
    return found
