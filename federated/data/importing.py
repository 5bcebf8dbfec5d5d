"""From a listing to an entry of the cache: decode, find the groups, draw the split.

Rule for files that cannot be used (missing, damaged, of unknown format, too small, too large): with
``data.strict`` the first stops the import and nothing is kept; without, each is left out and its
sentence stays with the entry. An entry with such files never serves a strict run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from federated.config.images import Data
from federated.data import cache, entry
from federated.data.dealing import duplicates, splits
from federated.data.formats import images
from federated.data.formats.images import Decoded
from federated.data.sources.listing import Listing
from federated.data.sources.publishers import as_on_disk
from federated.errors import UserError, did_you_mean
from federated.lazy import pd
from federated.processor import cores

FileState = tuple[int, int, int]  # size, times of modification and change


def located(listing: Listing, data: Data) -> tuple[Listing, list[FileState | None]]:
    """Return a listing without repeated files, and the state of each file; a ``stat`` per file.

    Raises:
        UserError: strict, and a file is not there, or is listed twice under two names.
    """
    states: list[FileState | None] = []
    kept: list[bool] = []
    skipped: list[str] = []
    first: dict[object, str] = {}
    for path in listing.rows["path"]:
        state = identity = None
        try:
            state, identity = _state(listing.root / path)
        except OSError as error:
            if data.strict:
                raise UserError(_missing(listing, path, error)) from error
        earlier = first.setdefault(identity, path) if identity else path
        kept.append(earlier == path)
        if earlier == path:
            states.append(state)
            continue
        skipped.append(
            f"{listing.named_by}: '{path}' is the same file as '{earlier}'; list it once"
        )
        if data.strict:
            raise UserError(skipped[-1])
    rows = listing.rows[kept].reset_index(drop=True)
    return replace(listing, rows=rows, skipped=(*listing.skipped, *skipped)), states


def _state(path: Path) -> tuple[FileState, object]:
    """Return what changes when a file does, and what two names of one file share."""
    state = path.stat()
    # A file of one name is known by its number; of several names (hard links), each is a file.
    identity = (state.st_dev, state.st_ino) if state.st_nlink == 1 else os.path.realpath(path)
    return (state.st_size, state.st_mtime_ns, state.st_ctime_ns), identity


def key(listing: Listing, states: list[FileState | None], data: Data, name: str) -> str:
    """Return the key of a data set's entry."""
    return cache.key_of(
        *("files", images.VERSION, name, images.cached_side(data), str(listing.root)),
        [data.window_level, data.window_width, data.trim, data.slices],
        [data.val_fraction, data.test_fraction, data.split_seed] if listing.drawn else None,
        data.duplicate_correlation,
        listing.rows.to_numpy().tolist(),
        states,
    )


def _missing(listing: Listing, path: str, error: OSError) -> str:
    where = listing.root / path
    try:
        there = [file.name for file in where.parent.iterdir()]
    except OSError:
        there = []
    if "\\" in path and (listing.root / path.replace("\\", "/")).is_file():
        return f"{listing.named_by}: names the image '{path}'; write its path with / instead of \\"
    # One that differs in case or ending alone, however few letters are left, else the nearest.
    (near,) = as_on_disk([where.name], there).values() or ("",)
    hint = f" (did you mean '{near}'?)" if near else did_you_mean(where.name, there)
    return (
        f"{listing.named_by}: names the image '{path}', which cannot be found "
        f"({error.strerror}){hint}; correct the path or remove the row"
    )


def build(
    part: Path, listing: Listing, data: Data, *, name: str, progress: Callable[[int, int], None]
) -> None:
    """Fill the folder ``part`` with a data set's entry.

    Args:
        part: folder to fill.
        listing: the data set's files.
        data: the settings.
        name: of the data set.
        progress: called with (files done, files in all).

    Raises:
        UserError: strict, and a file is unusable; or none is usable.
    """
    side, thumbnails = images.cached_side(data), []
    decoded: list[tuple[object, ...]] = []
    skipped: list[str] = []
    scratch = part / "decoded"
    with scratch.open("wb") as file:
        for index, outcome in enumerate(_decoded(listing, data)):
            if isinstance(outcome, UserError):
                if data.strict:
                    raise outcome
                skipped.append(str(outcome))
            else:
                for one in outcome:
                    file.write(one.square.tobytes())
                    thumbnails.append(one.thumbnail)
                    decoded.append(_row(index, one))
            progress(index + 1, len(listing.rows))
    if not decoded:
        raise UserError(f"{listing.named_by}: no image of '{name}' can be used; {skipped[0]}")
    full = _table(listing, decoded, name)
    full["group"] = duplicates.group_images(
        list(full["path"]),
        list(full["patient"]),
        list(full["sha256"]),
        np.stack(thumbnails),
        files=list(full["file"]),
        threshold=data.duplicate_correlation,
    )
    if listing.drawn:
        full["split"] = splits.draw(full, data, name)
    else:
        splits.check_given(list(full["patient"]), list(full["split"]), site=name)
    pixels = np.memmap(scratch, np.uint8, "r", shape=(len(full), side, side))
    entry.write(part, entry.CacheEntry(full, pixels, np.stack(thumbnails), tuple(skipped)))
    scratch.unlink()


def _decoded(listing: Listing, data: Data) -> Iterator[list[Decoded] | UserError]:
    """Decode on all cores, in order."""

    def one(path: str) -> list[Decoded] | UserError:
        try:
            return images.decode(listing.root / path, data)
        except UserError as error:
            return error

    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(one, listing.rows["path"])


def _row(index: int, one: Decoded) -> tuple[object, ...]:
    made = one.slice
    facts = (made.format, made.mode, made.colour, "; ".join(made.odd), made.patient, made.part)
    return (index, one.sha256, one.width, one.height, *facts)


def _table(listing: Listing, decoded: list[tuple[object, ...]], name: str) -> pd.DataFrame:
    """Return a row per slice: the listing's, what was decoded, and a patient where one is known.

    The header's patient counts where the listing has none, unless the whole data set has the same
    one: that is what a careless anonymiser leaves.
    """
    columns = ("index", "sha256", "width", "height", "format", "mode", "colour", "odd")
    table = pd.DataFrame(decoded, columns=[*columns, "header", "part"])
    rows = listing.rows.iloc[table["index"].to_numpy()].reset_index(drop=True)
    patients = table["header"] if table["header"].nunique() > 1 else ""
    return pd.concat([rows, table], axis=1).assign(
        site=name,
        file=rows["path"],
        path=rows["path"] + table["part"],
        patient=rows["patient"].where(rows["patient"] != "", patients),
    )
