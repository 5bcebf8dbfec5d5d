"""The one manifest format: a table with a row per image, whatever the images came from.

A user's manifest needs less than the full format; see ``federated.data.sources.usermanifest``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from federated.data.site import SPLITS
from federated.errors import UserError, did_you_mean
from federated.lazy import pd

COLUMNS = ("path", "site", "group", "label", "split", "sha256", "width", "height")
NUMBERS = ("label", "width", "height")

_LABELS = {
    **dict.fromkeys(("1", "1.0", "covid", "covid19", "positive", "pos", "true", "yes"), 1),
    **dict.fromkeys(
        ("0", "0.0", "noncovid", "noncovid19", "negative", "neg", "normal", "false", "no"), 0
    ),
}
# Names go into file names of results and logs.
_SITE = re.compile(r"\w[\w .-]*")


def label_of(text: str, more: Mapping[str, int] = MappingProxyType({})) -> int | None:
    """Return 1 for COVID, 0 for not, None for neither; case, spaces, - and _ do not count.

    Args:
        text: a user's label.
        more: names beyond the usual ones, which they override.
    """
    own = {_plain(name): label for name, label in more.items()}
    return own.get(_plain(text), _LABELS.get(_plain(text)))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]", "", text.lower())


def is_site(name: str) -> bool:
    """Return whether a name can be a site's."""
    return _SITE.fullmatch(name) is not None


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write a full manifest as CSV or parquet (by suffix), whole or not at all."""
    frame = frame.loc[:, list(COLUMNS)]
    _check_full(frame, path)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".csv":
            frame.to_csv(part, index=False)
        else:
            frame.to_parquet(part, index=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a full manifest with exactly :data:`COLUMNS`; numbers are int64, the rest text.

    Raises:
        UserError: naming the file, the row and the remedy.
    """
    text = read_table(path)
    need_columns(text, COLUMNS, path)
    frame = text.loc[:, list(COLUMNS)]
    for column in NUMBERS:
        bad = ~frame[column].str.fullmatch(r"\d{1,9}").astype(bool)
        _refuse(frame, bad, path, f"has {column} '{{{column}}}'; make it a number")
    frame = frame.astype(dict.fromkeys(NUMBERS, "int64"))
    _check_full(frame, path)
    return frame


def _check_full(frame: pd.DataFrame, path: Path) -> None:
    if frame.empty:
        raise UserError(f"{path}: lists no image; add a row per image")
    for bad, complaint in path_and_site_checks(frame):
        _refuse(frame, bad, path, complaint)
    checks: dict[str, tuple[pd.Series, str]] = {
        "group": (frame["group"].str.len() > 0, "name the patient or group"),
        "label": (frame["label"].isin([0, 1]), "use 1 for COVID and 0 for not"),
        "split": (frame["split"].isin(SPLITS), "use train, val or test"),
        "sha256": (frame["sha256"].str.fullmatch("[0-9a-f]{64}").astype(bool), "use 64 hex digits"),
        "width": (frame["width"] > 0, "use pixels above 0"),
        "height": (frame["height"] > 0, "use pixels above 0"),
    }
    for column, (good, remedy) in checks.items():
        _refuse(frame, ~good, path, f"has {column} '{{{column}}}'; {remedy}")


def path_and_site_checks(frame: pd.DataFrame) -> list[tuple[pd.Series, str]]:
    """Return which rows have unusable paths or sites, and what to say of each."""
    return [
        (
            ~frame["path"].str.fullmatch(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f]").astype(bool),
            "has no usable path ({path!r}); name the image file",
        ),
        (
            ~frame["site"].map(is_site).astype(bool),
            "has the site '{site}'; use letters, digits, spaces, '.', '_' and '-', with a letter "
            "or digit first",
        ),
        (
            frame.duplicated(["path", "site"]),
            "lists '{path}' of site '{site}' again; remove one of the rows",
        ),
    ]


def read_table(path: Path) -> pd.DataFrame:
    """Read CSV or parquet with every cell as text, missing ones empty."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"{path}: is no manifest; give a .csv or .parquet file")
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        frame = pd.read_parquet(path)
        return frame.astype(object).where(frame.notna(), "").astype(str)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such manifest; correct data.manifest") from error
    except (OSError, ValueError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path}: cannot be read as a table ({reason}); write it again as UTF-8 CSV or parquet"
        ) from error


def need_columns(frame: pd.DataFrame, needed: Iterable[str], path: Path) -> None:
    """Refuse a table that lacks a column."""
    for column in needed:
        if column not in frame.columns:
            found = [str(name) for name in frame.columns]
            raise UserError(
                f"{path}: has no column '{column}' among {', '.join(found)}"
                f"{did_you_mean(column, found)}; add or rename it"
            )


def _refuse(frame: pd.DataFrame, bad: pd.Series, path: Path, complaint: str) -> None:
    """Raise for the first bad row."""
    if bad.any():
        raise UserError(row_sentence(frame, int(bad.to_numpy().argmax()), path, complaint))


def row_sentence(frame: pd.DataFrame, index: int, path: Path, complaint: str) -> str:
    """Return what is wrong with a row, numbered as a spreadsheet shows it (in CSV the header is 1).

    Args:
        frame: the table.
        index: position of the row.
        path: of the manifest.
        complaint: what is wrong and what to do, with {column} for the row's values.
    """
    row = index + (2 if path.suffix.lower() == ".csv" else 1)
    return f"{path}: row {row} {complaint.format_map(frame.iloc[index].to_dict())}"
