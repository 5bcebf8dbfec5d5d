"""``consilium data``: check what hospitals hold, look at it, write it as one manifest.

Outside ``federated.data``, whose imports take seconds, so that ``--help`` answers at once.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.config.schema import Common
    from federated.config.study import Study


def add(commands: Any) -> None:
    """Add the group ``data`` to the command's subparsers."""
    group = commands.add_parser("data", help="check, show and list the hospitals' images")
    verbs = group.add_subparsers(required=True, metavar="VERB")
    check = _verb(
        verbs,
        "check",
        _check,
        "report leakage, class balance, odd files; exit status 1 on a leak between splits or "
        "hospitals that we drew, or on an unusable file",
    )
    check.add_argument(
        "--picture", type=Path, default=Path("data-check.png"), help="where to (data-check.png)"
    )
    sheet = _verb(verbs, "sheet", _sheet, "write a contact sheet, a row of images per hospital")
    sheet.add_argument("--picture", type=Path, default=Path("data-sheet.png"))
    sheet.add_argument("--columns", type=int, default=8, help="images per hospital (8)")
    listing = _verb(verbs, "manifest", _manifest, "write one manifest of all hospitals' images")
    listing.add_argument("--to", type=Path, default=Path("manifest.csv"), help="CSV or parquet")


def _verb(verbs: Any, name: str, call: Any, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=meaning, description=meaning)
    parser.add_argument("settings", nargs="*", metavar="CONFIG | key=value")
    parser.set_defaults(call=call)
    return parser


def config_of(words: list[str]) -> "Common":
    """Return the settings that all methods share, as ``study_of`` reads them."""
    return study_of(words).common


def study_of(words: list[str]) -> "Study":
    """Return the study of at most one .toml file and key=value words."""
    from federated.config.given import parse_overrides, read_config
    from federated.config.study import parse

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise UserError(f"'{files[1]}' is one file too many; give one config and key=value words.")
    given = read_config(Path(files[0]) if files else None)
    return parse({**given, **parse_overrides(word for word in words if "=" in word)})


def _told(site: str, done: int, total: int) -> None:
    """Show progress where somebody is watching."""
    if sys.stderr.isatty():
        end = "\n" if done == total else "\r"
        print(f"{site}: {done} of {total}", end=end, file=sys.stderr, flush=True)


def _check(arguments: argparse.Namespace) -> int:
    from federated.data.checking.check import findings, passed
    from federated.data.checking.leaks import find_leaks
    from federated.data.checking.survey import survey
    from federated.plots.contact_sheet import save_picture

    config = config_of(arguments.settings)
    sites = survey(config, _told)
    leaks = find_leaks(sites, config.data.duplicate_correlation)
    print(findings(sites, leaks, config.data.duplicate_correlation))
    save_picture(sites, _writable(arguments.picture))
    print(f"picture: {arguments.picture}")
    return 0 if passed(sites, leaks) else 1


def _sheet(arguments: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image

    from federated.data.checking.survey import survey
    from federated.phantom import contact_sheet

    rows = []
    for one in survey(config_of(arguments.settings), _told):
        order = one.entry.rows.sort_values(["label", "path"]).index
        places = np.linspace(0, len(order) - 1, arguments.columns).round().astype(int)
        rows.append(one.entry.pixels[order[places]])
        print(f"{one.name}: {', '.join(one.entry.rows['path'][order[places]])}")
    sheet = contact_sheet(np.concatenate(rows), arguments.columns)
    Image.fromarray(sheet).save(_writable(arguments.picture), "PNG")
    print(f"picture: {arguments.picture}")


def _manifest(arguments: argparse.Namespace) -> None:
    from federated.data.checking.survey import manifest_rows, skipped, survey
    from federated.data.sources.manifest import write_manifest

    sites = survey(config_of(arguments.settings), _told)
    if arguments.to.suffix not in (".csv", ".parquet"):
        raise UserError(f"{arguments.to}: is no name of a manifest; end it in .csv or .parquet")
    write_manifest(manifest_rows(sites), _writable(arguments.to))
    for sentence in skipped(sites):
        print(f"consilium: left out: {sentence}", file=sys.stderr)
    print(f"manifest: {arguments.to}")


def _writable(path: Path) -> Path:
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent} to write to; make it first")
    return path
