"""Whose a row of a run's tables is: cells that run side by side append to the same files.

A row of a CSV begins with its method and seed; an event has them right after its kind. Neither can
stand elsewhere: names of methods need no quotes, and JSON escapes those inside of a text.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, int]
"""Method and seed of a cell."""

Extent = tuple[int, str]
"""Length in bytes of a cell's own rows in a file, and SHA-256 of them."""


@dataclass
class Count:
    """How many bytes a cell has written to a file, and their digest so far."""

    length: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, rows: bytes) -> None:
        """Take note of more rows."""
        self.length += len(rows)
        self.digest.update(rows)

    @property
    def extent(self) -> Extent:
        """Length and digest."""
        return self.length, self.digest.hexdigest()


def count_of(rows: bytes) -> Count:
    """Return the count of some rows."""
    count = Count()
    count.add(rows)
    return count


def lines_of(content: bytes) -> list[bytes]:
    """Return the lines of a file with their ends; the last may lack one."""
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def belongs(key: Key, is_table: bool) -> Callable[[bytes], bool]:
    """Return what tells whether a line is of a cell: of a CSV if ``is_table``, else of events."""
    method, seed = key
    if is_table:
        start = f"{method},{seed},".encode()
        return lambda line: line.startswith(start)
    marks = [f'"method": "{method}", "seed": {seed}{end}'.encode() for end in ",}"]
    return lambda line: any(mark in line for mark in marks)


def cut(lines: Iterable[bytes], is_own: Callable[[bytes], bool], size: int) -> bytes:
    """Return a file without the cell's own rows beyond its first ``size`` bytes of them."""
    kept, length = [], 0
    for line in lines:
        if is_own(line):
            length += len(line)
            if length > size:
                continue
        kept.append(line)
    return b"".join(kept)


def without_torn(content: bytes, is_table: bool) -> bytes:
    """Return a file without what a crash left of a line, and without events that are none."""
    lines = [line for line in lines_of(content) if line.endswith(b"\n")]
    return b"".join(line for line in lines if is_table or is_event(line))


def is_event(line: bytes) -> bool:
    """Return whether a line is an event of a cell, which has been compared, or JSON at least."""
    if b'"method": "' in line:
        return True
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
