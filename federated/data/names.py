"""Names of hospitals: what they may hold, and that no two can be taken for each other.

They go into names of files and folders, where case, or the way an accent is written, may not count.
"""

import re
import unicodedata
from collections.abc import Iterable

from federated.errors import UserError

_SITE = re.compile(r"\w[\w .-]*")


def is_site(name: str) -> bool:
    """Return whether a name can be a site's."""
    return _SITE.fullmatch(name) is not None


def site_of(name: str) -> str:
    """Return a folder's name as a site's: letters, digits, spaces, '.', '_' and '-'."""
    composed = unicodedata.normalize("NFC", name)
    return re.sub(r"^\W+|[^\w .-]", "-", composed).strip("- .") or "site"


def key_of(name: str) -> str:
    """Return what two names share that differ in case, spaces or the way letters are written."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def refuse_alike(written: Iterable[tuple[str, str]], where: str) -> None:
    """Refuse two names that become one hospital, or one file name.

    Args:
        written: (name as it was written, name of the hospital).
        where: what names them, for the message.

    Raises:
        UserError: naming both.
    """
    first: dict[str, tuple[str, str]] = {}
    for text, site in sorted(set(written)):
        other = first.setdefault(key_of(site), (text, site))
        if other[0] != text:
            same = f"become the hospital '{site}'" if other[1] == site else "are too alike as names"
            raise UserError(f"{where}: '{other[0]}' and '{text}' both {same}; rename one of them")
