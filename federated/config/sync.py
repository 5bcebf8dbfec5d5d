"""Write, or check, all that follows from the settings and the methods: one command.

    python -m federated.config.sync [--check]

These are pyproject.toml's table of defaults for ``flwr run``, the tables of docs/CONFIG.md, and in
tests/golden/ a file of numbers for each method. A new method needs its entry and this command.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

from federated.config.keys import CALENDAR, reference
from federated.config.presets import METHODS
from federated.config.writing import run_config_defaults

ROOT = Path(__file__).parents[2]
_RUN_CONFIG = re.compile(
    r"\[tool\.flwr\.app\.config\]\n(?:(?:(?!\[)|\[tool\.flwr\.app\.config\.).*\n)*"
)
_TABLE = re.compile(r"\| setting \| default \| meaning \|\n(?:\|.*\n)*")


def with_run_config(pyproject: str) -> str:
    """Return pyproject.toml with the defaults of all settings."""
    nested: dict[str, Any] = {}
    for name, value in run_config_defaults().items():
        *section, last = name.split(".")
        (nested.setdefault(section[0], {}) if section else nested)[last] = value
    table = tomli_w.dumps({"tool": {"flwr": {"app": {"config": nested}}}})
    return _RUN_CONFIG.sub(lambda found: table, pyproject, count=1)


def with_tables(page: str) -> str:
    """Return docs/CONFIG.md with the table of all settings and that of a scenario's tables."""
    tables = iter([reference(), reference(CALENDAR)])
    return _TABLE.sub(lambda found: next(tables), page)


def golden_files(root: Path) -> tuple[set[str], set[str]]:
    """Return the methods without golden numbers, and the golden numbers without a method."""
    written = {path.stem for path in (root / "tests" / "golden").glob("*.json")}
    return set(METHODS) - written, written - set(METHODS)


def stale(root: Path) -> dict[Path, str]:
    """Return the files whose text does not follow from the settings, each with its new text."""
    new = {
        root / "pyproject.toml": with_run_config,
        root / "docs" / "CONFIG.md": with_tables,
    }
    texts = {path: path.read_text(encoding="utf-8") for path in new}
    return {path: new[path](text) for path, text in texts.items() if new[path](text) != text}


def main(words: list[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if it was to check and something is stale."""
    parser = argparse.ArgumentParser(prog="python -m federated.config.sync", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(words).check
    texts, (missing, left_over) = stale(ROOT), golden_files(ROOT)
    goldens = sorted(f"tests/golden/{method}.json" for method in missing | left_over)
    for name in [*map(str, texts), *goldens]:
        print(f"{'stale' if check else 'written'}: {name}")
    if check:
        return 1 if texts or goldens else 0
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    for method in left_over:
        (ROOT / "tests" / "golden" / f"{method}.json").unlink()
    return _make_golden(sorted(missing)) if missing else 0


def _make_golden(methods: list[str]) -> int:
    """Run the golden test of some methods such that it writes their numbers."""
    tests = [f"tests/test_golden.py::test_losses_are_the_written_ones[{name}]" for name in methods]
    environment = {**os.environ, "CONSILIUM_UPDATE_GOLDEN": "1"}
    command = [sys.executable, "-m", "pytest", *tests]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
