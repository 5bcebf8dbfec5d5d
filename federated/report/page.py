"""The page of a run: one file that opens anywhere, and asks the network for nothing.

It begins with the question and the answer; tables and figures follow, and how to repeat it all.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from federated.errors import UserError
from federated.report.chapters import Progress, chapters, silent
from federated.report.conclusion import Conclusion, conclusion, conclusion_of
from federated.report.curves import library
from federated.report.facts import facts
from federated.report.fitting import fitting
from federated.report.markup import MOST_ROWS, anchor, chapter, section
from federated.report.precision import differences
from federated.report.standing import KEPT, USED, of_models
from federated.report.tables import CHOSEN, table_of
from federated.runs.reading import Run
from federated.statistics.images import scored
from federated.storage import write_bytes


def write_summary(
    run: Run, *, draw: bool = True, patients: bool = False, report: Progress = silent
) -> Path:
    """Write the run's page ``summary.html`` and its figures into ``plots/``; return the page.

    The ROC, calibration and batch-norm figures come from the sites' own side of a simulation; mind
    that when a page about real images is passed on.

    Args:
        run: The run.
        draw: Whether figures are drawn.
        patients: Whether images of patients and their embeddings are on it, as those of phantoms
            always are: then it is as private as the images are.
        report: Called with each figure's name when it is begun, how many were, and of how many.
    """
    title = run.study.common.name
    parts = chapters(run, draw=draw, patients=patients, report=report)
    opening = _opening(title, conclusion(run), _known(run), list(parts))
    page = fitting(document(title, [opening, *parts.values()]))
    write_bytes(run.files.summary, page.encode())
    return run.files.summary


def write_side_by_side(
    runs: Sequence[Run], path: Path, *, patients: bool = False, report: Progress = silent
) -> Path:
    """Write one page of several runs, beginning with what they answer together.

    Args:
        runs: Two or more; what can be compared is if they have the same test images.
        path: Where to.
        patients: As for ``write_summary``.
        report: As for ``write_summary``.
    """
    names = [run.folder.name for run in runs]
    parts = {"Side by side": chapter("Side by side", _side_by_side(runs))}
    for run in runs:
        prefix = f"{run.folder.name}: "
        parts |= chapters(run, prefix, draw=True, patients=patients, report=report)
    try:
        found = conclusion_of(runs)
    except UserError as error:
        found = Conclusion("What do these runs say together?", [str(error)])
    title = " and ".join(names)
    opening = _opening(title, found, {"runs": ", ".join(names)}, list(parts))
    page = fitting(document(title, [opening, *parts.values()]))
    write_bytes(path, page.encode())
    return path


def _side_by_side(runs: Sequence[Run]) -> Iterator[str]:
    try:
        used, kept = (of_models(scored(runs, model), runs[0], model) for model in (USED, KEPT))
    except UserError:
        used = kept = None
    if used and kept:
        sites = list(used.images)[:MOST_ROWS]
        note = "of several runs a method is called RUN/METHOD where others share its name"
        yield section("Test AUC of each hospital", table_of(used, kept, sites), f"{CHOSEN}; {note}")
    for other in runs[1:]:
        lines = "".join(f"<li>{escape(line)}</li>" for line in differences(runs[0], other))
        names = escape(f"In what {runs[0].folder.name} and {other.folder.name} differ")
        yield f"<h3>{names}</h3><ul>{lines or '<li>in nothing but their results</li>'}</ul>"


def document(title: str, parts: Sequence[str]) -> str:
    """Return a page of its own."""
    style = files("federated.report").joinpath("page.css").read_text(encoding="utf-8")
    code = files("federated.report").joinpath("page.js").read_text(encoding="utf-8")
    body, drawer = "\n".join(parts), library(parts)
    scripts = f"<script>\n{code}</script>" if drawer else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{style}</style>{drawer}</head><body>\n<main>\n{body}\n</main>\n{scripts}"
        "</body></html>\n"
    )


def _opening(
    title: str, found: Conclusion, known: Mapping[str, str], chapters: Sequence[str]
) -> str:
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in found.sentences)
    links = "".join(f'<li><a href="#{anchor(name)}">{escape(name)}</a></li>' for name in chapters)
    facts = " · ".join(f"<b>{escape(name)}</b> {escape(text)}" for name, text in known.items())
    return (
        f'<header><h1>{escape(title)}</h1>\n<div class="answer">'
        f'<p class="question">{escape(found.question)}</p>{told}</div>\n'
        f'<p class="facts">{facts}</p><nav aria-label="chapters"><ul>{links}</ul></nav></header>'
    )


def _known(run: Run) -> dict[str, str]:
    return {name: text for name, text in facts(run).items() if text}
