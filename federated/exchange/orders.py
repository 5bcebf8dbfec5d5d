"""What an order must be before a site does anything with it: checked on arrival, field by field.

A site trusts its server to ask for rounds of training and for nothing else: what names a folder is
a name and no path, and numbers are what numbers of their kind can be.
"""

import re
from pathlib import Path

from federated.exchange.wire import BadOrderError, Order

LONGEST_NAME = 200
"""Bytes in UTF-8; a folder's name may have 255."""
LAST_ROUND = 999_999
"""A vault's files have six digits for it."""
LAST_WEEK = 1e9
MOST_SPANS = 20_000
LONGEST_FOLDER = 4000

_SPANS = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", re.ASCII)


def check_order(order: Order) -> None:
    """Compare the values of an order with what they can be; the run is not known here.

    Raises:
        BadOrderError: one of them cannot be.
    """
    places = Path(order.folder)
    is_folder = len(order.folder) <= LONGEST_FOLDER and order.folder.isprintable()
    rules = {
        "method": is_name(order.method),
        "seed": order.seed >= 0,
        "round": 0 <= order.round <= LAST_ROUND,
        "site": not order.site or is_name(order.site),
        "folder": is_folder and places.is_absolute(),
        "week": 0 <= order.week <= LAST_WEEK,
        "void": is_void_text(order.void),
        "run": len(order.run) <= LONGEST_NAME and (not order.run or order.run.isalnum()),
        "after": 0 <= order.after <= order.round,
    }
    if wrong := [name for name, is_right in rules.items() if not is_right]:
        raise BadOrderError(f"values that cannot be: {', '.join(wrong)}")


def is_name(text: str) -> bool:
    """Return whether a text may name a folder of its own: no path, no control character."""
    if not text.isprintable() or text in (".", "..") or any(mark in text for mark in "/\\"):
        return False
    return 0 < len(text.encode()) <= LONGEST_NAME


def is_void_text(text: str) -> bool:
    """Return whether a text lists rounds and spans of them, such as ``3-7,9``."""
    longest = MOST_SPANS * len("999999-999999,")
    if not text:
        return True
    if len(text) > longest or _SPANS.fullmatch(text) is None:
        return False
    spans = [span.partition("-") for span in text.split(",")]
    return all(int(first) <= int(last or first) for first, _, last in spans)
