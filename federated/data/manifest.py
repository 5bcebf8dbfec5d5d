"""The one manifest format: a table with a row per image, whatever the images came from.

A user's manifest needs less than the full format: ``path``, ``label`` and ``site``; see
:func:`read_user_manifest`.
"""

import os
import re
from pathlib import Path

import pandas as pd

from federated.data.site import SPLITS
from federated.errors import UserError, did_you_mean

COLUMNS = ("path", "site", "group", "label", "split", "sha256", "width", "height")
NUMBERS = ("label", "width", "height")

_LABELS = {
    **dict.fromkeys(("1", "1.0", "covid", "covid19", "positive", "pos", "true", "yes"), 1),
    **dict.fromkeys(
        ("0", "0.0", "noncovid", "noncovid19", "negative", "neg", "normal", "false", "no"), 0
    ),
}
_SPLITS = {**dict(zip(SPLITS, SPLITS, strict=True)), "validation": "val", "": ""}
# Names go into file names of results and logs.
_SITE = re.compile(r"\w[\w .-]*")


def label_of(text: str) -> int | None:
    """Return 1 for COVID, 0 for not, None for neither; case, spaces, - and _ do not count."""
    return _LABELS.get(re.sub(r"[\s_-]", "", text.lower()))


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
    text = _read_table(path)
    _need_columns(text, COLUMNS, path)
    frame = text.loc[:, list(COLUMNS)]
    for column in NUMBERS:
        bad = ~frame[column].str.fullmatch(r"\d{1,9}").astype(bool)
        _refuse(frame, bad, path, f"has {column} '{{{column}}}'; make it a number")
    frame = frame.astype(dict.fromkeys(NUMBERS, "int64"))
    _check_full(frame, path)
    return frame


def read_user_manifest(path: Path) -> pd.DataFrame:
    """Read a user's manifest as columns path, site, label (int64), patient, split; all else text.

    Columns ``path``, ``label`` and ``site`` are needed; ``patient`` (or ``group``) and ``split``
    may be there, as may others, which are ignored. Labels are 0 and 1 or names such as ``COVID``
    and ``non-COVID``. Unknown patients and splits are empty. Relative paths are relative to the
    manifest's folder.

    Raises:
        UserError: naming the file, the row and the remedy.
    """
    text = _read_table(path)
    _need_columns(text, ("path", "label", "site"), path)
    empty = pd.Series("", index=text.index, dtype=str)
    frame = pd.DataFrame(
        {
            "path": text["path"],
            "site": text["site"].str.strip(),
            "label": text["label"].map(label_of),
            "patient": text.get("patient", text.get("group", empty)).str.strip(),
            "split": text.get("split", empty).str.strip().str.lower().map(_SPLITS.get),
        }
    )
    _refuse(
        text,
        frame["label"].isna(),
        path,
        "has the unknown label '{label}'; use 1 or covid, 0 or non-covid",
    )
    _refuse(
        text,
        frame["split"].isna(),
        path,
        "has the unknown split '{split}'; use train, val or test",
    )
    frame = frame.astype({"label": "int64"})
    _check_paths_and_sites(frame, path)
    return frame


def _check_full(frame: pd.DataFrame, path: Path) -> None:
    _check_paths_and_sites(frame, path)
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


def _check_paths_and_sites(frame: pd.DataFrame, path: Path) -> None:
    if frame.empty:
        raise UserError(f"{path}: lists no image; add a row per image")
    _refuse(
        frame,
        ~frame["path"].str.fullmatch(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f]").astype(bool),
        path,
        "has no usable path ({path!r}); name the image file",
    )
    _refuse(
        frame,
        ~frame["site"].map(lambda site: _SITE.fullmatch(site) is not None).astype(bool),
        path,
        "has the site '{site}'; use letters, digits, spaces, '.', '_' and '-', with a letter or "
        "digit first",
    )
    _refuse(
        frame,
        frame.duplicated(["path", "site"]),
        path,
        "lists '{path}' of site '{site}' again; remove one of the rows",
    )


def _read_table(path: Path) -> pd.DataFrame:
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


def _need_columns(frame: pd.DataFrame, needed: tuple[str, ...], path: Path) -> None:
    for column in needed:
        if column not in frame.columns:
            found = [str(name) for name in frame.columns]
            raise UserError(
                f"{path}: has no column '{column}' among {', '.join(found)}"
                f"{did_you_mean(column, found)}; add or rename it"
            )


def _refuse(frame: pd.DataFrame, bad: pd.Series, path: Path, complaint: str) -> None:
    """Raise for the first bad row, numbered as a spreadsheet shows it (in CSV the header is 1).

    Args:
        frame: the table.
        bad: per row, whether it is bad.
        path: of the manifest.
        complaint: what is wrong and what to do, with {column} for the row's values.
    """
    if bad.any():
        index = int(bad.to_numpy().argmax())
        row = index + (2 if path.suffix.lower() == ".csv" else 1)
        raise UserError(f"{path}: row {row} {complaint.format_map(frame.iloc[index].to_dict())}")
