"""A page that can be sent by mail: what is left out of one that would be larger."""

import re

LARGEST = 5_000_000
"""Bytes of a page."""

_PHONE = re.compile(r"<source [^>]*>")
_FIGURE = re.compile(r'<figure id="figure-([^"]*)">.*?</figure>', re.DOTALL)


def fitting(page: str) -> str:
    """Return a page of at most ``LARGEST`` bytes, if leaving out pictures can make it so.

    First the drawings for phones go, which then show the others smaller; then whole pictures, the
    largest first, each with a word on which file has it.
    """
    if _size(page) > LARGEST:
        page = _PHONE.sub("", page)
    pictures = sorted(_FIGURE.finditer(page), key=lambda found: -len(found[0]))
    over = _size(page) - LARGEST
    for found in pictures:
        if over <= 0:
            break
        note = _instead(found[1])
        page = page.replace(found[0], note)
        over -= _size(found[0]) - _size(note)
    return page


def _instead(name: str) -> str:
    run, _, file = name.rpartition(": ")
    text = f"Left out of this page, which would be too large to send: {file}.png in the plots"
    return f'<p class="note">{text} of {run or "the run"}.</p>'


def _size(text: str) -> int:
    return len(text.encode())
