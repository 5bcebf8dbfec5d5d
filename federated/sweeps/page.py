"""Write docs/RESULTS.md from docs/results/: the tables of every sweep that is kept there.

    python -m federated.sweeps.page [--check]

What stands between the two marks is written; what is around them is left as it is.
"""

import argparse
import sys
from pathlib import Path

from federated.config.given import read_config
from federated.errors import UserError
from federated.sweeps.plan import read_sweep
from federated.sweeps.tables import page_of

ROOT = Path(__file__).parent.parent.parent
PAGE, RESULTS = ROOT / "docs" / "RESULTS.md", ROOT / "docs" / "results"
CONFIGS = ROOT / "configs"
BEGIN, END = (
    "<!-- written by python -m federated.sweeps.page -->",
    "<!-- end of what is written -->",
)
NONE = "No sweep is kept in docs/results yet.\n"


def written(page: str, results: Path) -> str:
    """Return a page with the tables of the sweeps in a folder between its marks.

    Raises:
        UserError: the page has no such marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"the page lacks the marks {BEGIN} and {END}; put them back.")
    return f"{before}{BEGIN}\n\n{tables(results)}\n{END}{after}"


def tables(results: Path) -> str:
    """Return a section for each sweep in a folder that has any cell, in name order."""
    sweeps = sorted({path.parents[2] for path in results.glob("*/*/*/cell.toml")})
    sections = [f"## {sweep.name}\n\n{progress_of(sweep)}{page_of(sweep)}" for sweep in sweeps]
    return "\n".join(sections) or NONE


def progress_of(results: Path) -> str:
    """Return how many cells of the sweep in configs/ that writes here are missing, if any is."""
    done = len(list(results.glob("*/*/cell.toml")))
    for path in sorted(CONFIGS.rglob("*.toml")):
        if read_config(path).get("results") == f"docs/results/{results.name}":
            planned = sum(len(run.study.cells()) for run in read_sweep(path, {}).runs)
            if done < planned:
                where = path.relative_to(ROOT)
                return f"**{done} of the {planned} cells of {where} are done; it goes on.**\n\n"
    return ""


def main(words: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` say whether it is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if stale")
    arguments = parser.parse_args(words)
    found = PAGE.read_text(encoding="utf-8")
    wanted = written(found, RESULTS)
    if found == wanted:
        return 0
    if arguments.check:
        print(f"{PAGE} is stale; run: python -m federated.sweeps.page", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
