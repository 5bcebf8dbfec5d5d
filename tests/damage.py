"""Damage each file of an interrupted run in turn, resume it, and see that nothing is lost unsaid.

    python tests/damage.py [--every 1]

A run of three rounds is killed in its third. Then every file of it is flipped, cut, emptied,
filled with NULs or deleted, and the run resumed: it must end equal to a whole run, or stop with a
sentence. Prints a line on whatever else happens, then the counts; exit status 1 if there is any.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from crash_points import TINY, in_child, killed_at, outcome

from federated.engine import run
from federated.errors import UserError
from federated.runs.vaults import kept_model

KINDS = ("flip", "cut", "empty", "NULs", "deleted")
CASE = {**TINY, "methods": "consilium"}
SAID = 2


def damage(path: Path, kind: str) -> None:
    """Damage a file."""
    content = bytearray(path.read_bytes())
    if kind == "deleted":
        path.unlink()
        return
    if kind == "flip" and content:
        content[len(content) // 2] ^= 1
    elif kind == "cut":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = bytearray()
    elif kind == "NULs":
        content = bytearray(len(content))
    path.write_bytes(bytes(content))


def resumed(given: Mapping[str, str]) -> int:
    """Resume a run in a child: 0 if it ended, ``SAID`` if a sentence ended it, else another."""

    def work() -> None:
        try:
            run(dict(given))
        except UserError:
            raise SystemExit(SAID) from None

    return in_child(work)


def interrupted(settings: Mapping[str, str], root: Path) -> Path:
    """Return the folder of a run that was killed in its last round."""
    counted = root / "count"
    killed_at({**settings, "folder": str(root / "whole" / "run")}, 0, counted)
    point = int(int(counted.read_text()) * 0.8)
    killed_at({**settings, "folder": str(root / "cut" / "run")}, point)
    return root / "cut"


def verdict(status: int, folder: Path, expected: Mapping[str, bytes]) -> str:
    """Return how a damaged run ended."""
    if status == SAID:
        return "sentence"
    if status != 0:
        return "FAULT"
    found, wanted = outcome(folder), results(folder, expected)
    same = all(found.get(name) == content for name, content in wanted.items())
    return "equal" if same else "DIFFERENT"


def results(folder: Path, expected: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what of a whole run is a result: all but state that only a repeated round needs."""
    kept = {kept_model(vault) for vault in folder.glob("sites/*/*/seed-*")}
    used = {str(path.relative_to(folder).with_suffix("")) for path in kept if path is not None}
    newest = "round-000003"

    def counts(name: str) -> bool:
        stem = Path(name).stem
        if stem.startswith("kept-"):
            return str(Path(name).with_suffix("")) in used
        return not stem.startswith("round-") or stem == newest

    return {name: content for name, content in expected.items() if counts(name)}


def main() -> int:
    """Damage file after file and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every k-th damage (1)")
    every, counts = parser.parse_args().every, Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        settings = {**CASE, "data.cache": str(root / "cache")}
        cut = interrupted(settings, root)
        expected = outcome(root / "whole" / "run")
        names = [p.relative_to(cut) for p in sorted(cut.rglob("*")) if p.is_file()]
        cases = [(name, kind) for name in names for kind in KINDS]
        for name, kind in cases[::every]:
            shutil.rmtree(root / "trial", ignore_errors=True)
            shutil.copytree(cut, root / "trial")
            damage(root / "trial" / name, kind)
            folder = root / "trial" / "run"
            found = verdict(resumed({**settings, "folder": str(folder)}), folder, expected)
            counts[found] += 1
            if found in ("FAULT", "DIFFERENT"):
                print(f"{name} {kind}: {found}", flush=True)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{counts.total()} damaged files: {told}")
    return 1 if counts["FAULT"] or counts["DIFFERENT"] else 0


if __name__ == "__main__":
    sys.exit(main())
