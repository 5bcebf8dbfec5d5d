"""``consilium data``: check what hospitals hold, look at it, write it as one manifest.

Outside ``federated.data``, whose imports take seconds, so that ``--help`` answers at once.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.config.common import Common
    from federated.config.given import Given
    from federated.config.study import Study
    from federated.data.checking.survey import Surveyed


def add(commands: Any) -> None:
    """Add the group ``data`` to the command's subparsers."""
    group = commands.add_parser("data", help="check, show and list the hospitals' images")
    verbs = group.add_subparsers(required=True, metavar="VERB")
    check = _verb(
        verbs,
        "check",
        _check,
        "whether the images can be trained on: leaks, classes, odd files; exit status 1 on a leak "
        "between splits or hospitals that we drew, an unusable file, or a split of one class",
    )
    check.add_argument("--picture", type=Path, metavar="FILE.png", help="draw it as well")
    sheet = _verb(verbs, "sheet", _sheet, "write a contact sheet, a row of images per hospital")
    sheet.add_argument(
        "--picture", type=Path, default=Path("data-sheet.png"), help="(data-sheet.png)"
    )
    sheet.add_argument("--columns", type=int, default=8, help="images per hospital (8)")
    listing = _verb(
        verbs,
        "manifest",
        _manifest,
        "write one manifest of all hospitals' images, with their splits; data.manifest=FILE reads "
        "it back",
    )
    listing.add_argument("--to", type=Path, default=Path("manifest.csv"), help="CSV or parquet")


def _verb(verbs: Any, name: str, call: Any, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=meaning,
        description=meaning,
        epilog=f"examples: consilium data {name} data.folder=PATH · consilium data {name} "
        "configs/demo.toml",
    )
    parser.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    parser.set_defaults(call=call)
    return parser


def config_of(words: list[str]) -> "Common":
    """Return the settings that all methods share, as ``study_of`` reads them."""
    return study_of(words).common


def study_of(words: list[str]) -> "Study":
    """Return the study of at most one .toml file and key=value words."""
    from federated.config.study import parse

    return parse(given_of(words))


def given_of(words: list[str]) -> "Given":
    """Return what at most one .toml file and key=value words say."""
    from federated.config.given import parse_overrides, read_config

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise UserError(f"'{files[1]}' is one file too many; give one config and key=value words.")
    given = read_config(Path(files[0]) if files else None)
    return {**given, **parse_overrides(word for word in words if "=" in word)}


def _surveyed(arguments: argparse.Namespace) -> "tuple[Common, tuple[Surveyed, ...]]":
    """Return the settings and what every hospital holds; decoding shows its progress."""
    from federated.commands.progress import preparing
    from federated.data.checking.survey import survey

    config = config_of(arguments.settings)
    with preparing(style="auto") as report:
        return config, survey(config, report)


def _check(arguments: argparse.Namespace) -> int:
    from federated.data.checking.check import findings
    from federated.data.checking.leaks import find_leaks
    from federated.plots.holdings import save_picture
    from federated.plots.terminal import printed

    picture = arguments.picture and _writable(arguments.picture)
    config, sites = _surveyed(arguments)
    threshold = config.data.duplicate_correlation
    found = findings(sites, find_leaks(sites, threshold), threshold)
    tables = (f"{found.explained}\n\n{printed(found.images)}", printed(found.files))
    print("\n\n".join((found.verdict, *tables, *found.blocks)))
    if picture:
        save_picture(sites, picture)
        print(f"\npicture: {picture}")
    return 1 if found.problems else 0


def _sheet(arguments: argparse.Namespace) -> None:
    from federated.plots.contact_sheet import save_sheet

    if arguments.columns < 2:
        raise UserError(f"--columns {arguments.columns}: 2 or more are needed, for two classes.")
    picture = _writable(arguments.picture)
    _, sites = _surveyed(arguments)
    for line in save_sheet(sites, arguments.columns, picture):
        print(line)
    print(f"picture: {picture}")


def _manifest(arguments: argparse.Namespace) -> None:
    from federated.data.checking.survey import skipped
    from federated.data.checking.written import readable_manifest
    from federated.data.sources.manifest import write_manifest

    path = arguments.to
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"{path}: is no name of a manifest; end it in .csv or .parquet")
    _writable(path)
    config, sites = _surveyed(arguments)
    rows, notes = readable_manifest(sites, path.absolute().parent)
    # Patients beside groups: a group may reach over a split that the publisher drew.
    write_manifest(rows, path, config.data.class_count, more=("patient",))
    for sentence in (*notes, *(f"left out: {one}" for one in skipped(sites))):
        print(f"consilium: {sentence}", file=sys.stderr)
    print(f"manifest: {path}, {len(rows)} files; read it back with data.manifest={path}")


def _writable(path: Path) -> Path:
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent} to write to; make it first")
    return path
