"""Tables, sections and pictures of the page as HTML."""

import base64
import re
from collections.abc import Iterable
from html import escape
from io import BytesIO, StringIO
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from federated.plots.style import RC, SINGLE
from federated.report.tables import BEHIND

MOST_ROWS = 16
"""A longer table of details is folded."""

LARGEST_DRAWING = 80_000
"""Bytes; a picture of more lines than this holds is sent as pixels."""

PIXELS = 200
"""Of such a picture, an inch."""

PHONE = "(max-width: 640px)"

_WITH_INTERVAL = re.compile(r"^(\S+) (\[[^\]]*\])(.*)$")


def chapter(title: str, parts: Iterable[str]) -> str:
    """Return a chapter with its heading; nothing if it has no parts."""
    body = "\n".join(part for part in parts if part)
    return f'<section id="{anchor(title)}">\n<h2>{escape(title)}</h2>\n{body}\n</section>' * bool(
        body
    )


def anchor(title: str) -> str:
    """Return a chapter's name in a link."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def section(title: str, table: pd.DataFrame, note: str, *, most: int | None = None) -> str:
    """Return a titled table, folded if it has more rows than ``most``; nothing if it is empty."""
    if table.empty:
        return ""
    body = _html(table, title)
    if most is not None and len(table) > most:
        body = f"<details><summary>{len(table)} rows</summary>{body}</details>"
    return f'<h3>{escape(title)}</h3>\n<p class="note">{escape(sentence(note))}</p>\n{body}'


def sentence(text: str) -> str:
    """Return a note with a capital letter and a full stop."""
    text = text.strip()
    return text and f"{text[0].upper()}{text[1:]}{'' if text[-1] in '.!?' else '.'}"


def _html(table: pd.DataFrame, title: str) -> str:
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table.columns)
    lines, before = [], None
    for row in table.itertuples(index=False, name=None):
        cells = [_cell(str(n), text) for n, text in zip(table.columns[1:], row[1:], strict=True)]
        # A sentence heads no row, and is never cut off as a long name is.
        is_name = len(row) > 1
        first = (
            f'<th scope="row">{escape(row[0])}</th>' if is_name else f"<td>{escape(row[0])}</td>"
        )
        lines.append(
            f"<tr{' class=first' if row[0] != before else ''}>{first}{''.join(cells)}</tr>"
        )
        before = row[0]
    # A table wider than a phone is moved by the keyboard, too, if it can have the focus.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table></div>"
    )


def _cell(column: str, text: str) -> str:
    kind = " class=behind" if text.endswith(BEHIND) else " class=text" * (column == "reason")
    if found := _WITH_INTERVAL.match(text):
        value, interval, rest = found.groups()
        return f"<td{kind}>{escape(value + rest)}<small> {escape(interval)}</small></td>"
    return f"<td{kind}>{escape(text)}</td>"


def picture(wide: Figure, narrow: Figure, caption: str, name: str, *, photos: bool = False) -> str:
    """Return a figure with its caption, drawn anew for the width of a phone.

    Its background is clear, so that the page's own shows, light or dark; but that of ``photos`` is
    white, and they are not inverted in the dark: a negative of a lung is none.
    """
    words = escape(caption)
    # A one-column figure is not blown up to the page.
    look = "plot narrow" if wide.get_figwidth() <= SINGLE else "plot"
    look += " photos" if photos else ""
    return (
        f'<figure id="figure-{escape(name)}"><picture>'
        f'<source media="{PHONE}" srcset="{_source(narrow, name, photos=photos)}">'
        f'<img class="{look}" alt="{words}" src="{_source(wide, name, photos=photos)}">'
        f"</picture><figcaption>{words}</figcaption></figure>"
    )


def _source(figure: Figure, name: str, *, photos: bool) -> str:
    """Return a picture as a link that holds it: lines, or pixels where there are too many."""
    drawing = StringIO()
    with rc_context({**RC, "svg.hashsalt": name}):
        if photos:
            return _pixels(figure, clear=False, quality=85)
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
        lines = _without_blanks(drawing.getvalue())
        if len(lines) <= LARGEST_DRAWING:
            return _link("image/svg+xml", lines.encode())
        # Without loss, in half the time of the default.
        return _pixels(figure, clear=True, lossless=True, method=1, quality=20)


def _pixels(figure: Figure, *, clear: bool, **how: Any) -> str:
    pixels = BytesIO()
    figure.savefig(pixels, format="webp", dpi=PIXELS, transparent=clear, pil_kwargs=how)
    return _link("image/webp", pixels.getvalue())


def _without_blanks(drawing: str) -> str:
    """Return an SVG without what only an editor reads, a tenth of it."""
    bare = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    return re.sub(r">\s+<", "><", bare)


def _link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
