"""What a look at a machine found: a line each, and an exit status."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

GOOD, SLOW, WRONG = "ok", "note", "wrong"
"""States of a finding. A note is worth knowing and stops nothing."""


@dataclass(frozen=True)
class Finding:
    """One line: whether it is ok, a note or wrong, what was looked at, and what was found."""

    state: str
    what: str
    found: str


def concluded(looked: Iterable[Finding]) -> int:
    """Print findings as a table with a sum under it, and return the exit status: 1 if one is wrong.

    Args:
        looked: All of them are awaited before the first is printed, so that columns fit.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    findings = list(looked)
    colours = {GOOD: "green", SLOW: "yellow", WRONG: "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")  # a path is copied whole
    for one in findings:  # texts, since markup would swallow what stands in brackets
        table.add_row(Text(one.state, colours[one.state]), Text(one.what), Text(one.found))
    Console(file=sys.stdout).print(table)
    wrong = sum(one.state == WRONG for one in findings)
    print(f"\n{wrong} wrong, {sum(one.state == SLOW for one in findings)} to know.")
    return 1 if wrong else 0
