"""The one-page summary of a run: a file that opens anywhere.

``summary.html`` holds everything it shows: no script, no font, no image from elsewhere.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import pandas as pd
from PIL import Image

from federated.answers import answers
from federated.plots.numbers import shown_sites, values
from federated.report import evidence
from federated.report.effort import effort_sentence, effort_table
from federated.report.gallery import plot_in, save_all
from federated.report.precision import precision_text
from federated.report.tables import (
    BEHIND,
    CHOSEN,
    MARK,
    choice_table,
    cost_table,
    failure_table,
    method_table,
    site_table,
)
from federated.runs.reading import Run
from federated.statistics import hospitals, methods, sites
from federated.statistics.images import grouping_note, scored_once
from federated.storage import write_bytes

NARROW = 1500
"""Pixels of a figure's width; a narrower one is of one column."""

MOST_ROWS = 16
"""A longer table of details is folded."""

_CSS = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --bad: #b23a00; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff9a5c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; } h2 { margin: 2.2rem 0 .4rem; font-size: 1.15rem; }
h3 { margin: 1.6rem 0 .3rem; font-size: 1rem; }
.facts, .note, figcaption { opacity: .75; } .note, figcaption { font-size: .87rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .8rem .22rem 0; text-align: left; white-space: nowrap; }
td.text { white-space: normal; overflow-wrap: anywhere; }
th { border-bottom: 1.5px solid var(--line); } tr.first td { border-top: 1px solid var(--line); }
td.behind { color: var(--bad); font-style: italic; }
figure { margin: 1.2rem 0; } img { width: 100%; background: #fff; border-radius: 4px; }
img.narrow { width: 50%; }
details { margin: 1rem 0; } summary { cursor: pointer; }
"""


def write_summary(run: Run, figures: Iterable[Path] | None = None) -> Path:
    """Write the run's page ``summary.html`` and return its path.

    The ROC and batch-norm figures come from the sites' own side of a simulation; mind that when a
    page about real images is passed on.

    Args:
        run: the run.
        figures: PNG files of ``save_all``; None draws them, into ``plots/``.
    """
    if figures is None:
        figures = save_all(run, run.files.plots)
    of_rollout, others = _parted(figures)
    title = escape(run.study.common.name)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_CSS}</style></head><body>\n<h1>{title}</h1>\n"
        + "\n".join(
            [
                _facts(run),
                *_tables(run),
                *_rollout(run, of_rollout),
                *_figures(others),
                _environment(run),
            ]
        )
        + "\n</body></html>\n"
    )
    write_bytes(run.files.summary, page.encode())
    return run.files.summary


def _facts(run: Run) -> str:
    common = run.study.common
    began = str(run.events["time"].min())[:16].replace("T", " ") if "time" in run.events else ""
    cells = len(run.study.cells())
    done = [run.study.by_method[m].rounds == last for (m, _), last in run.reached.items()]
    missing = cells - sum(done)
    facts = {
        "began": f"{began} UTC" if began else "",
        "methods": ", ".join(common.methods),
        f"{len(run.sites)} sites": _some(run.sites),
        "rounds": ", ".join(
            str(n) for n in sorted({c.rounds for c in run.study.by_method.values()})
        ),
        "seeds": ", ".join(map(str, common.seeds)),
        "not finished": f"{missing} of {cells} (method, seed)" if missing else "",
    }
    known = (f"<b>{escape(name)}</b> {escape(value)}" for name, value in facts.items() if value)
    return f'<p class="facts">{" · ".join(known)}</p>'


def _some(sites: Sequence[str]) -> str:
    """Return the names of sites, or of many the first."""
    left = len(sites) - MOST_ROWS
    return ", ".join([*sites[:MOST_ROWS], *([f"and {left} more"] if left > 0 else [])])


def _tables(run: Run) -> Iterable[str]:
    _, note = shown_sites(values(run, "auc", "test", "kept"), "auc")
    kept, seeds = site_table(run), len(run.study.common.seeds)
    notes = [CHOSEN, "mean ± sd over seeds" if seeds > 1 else "", note]
    notes.append(MARK if any(kept["AUC"].str.endswith(BEHIND)) else "")
    yield _section("Test metrics of the kept models", kept, "; ".join(filter(None, notes)))
    yield _section(
        "Over sites",
        method_table(run),
        "test AUC of the kept models; a mean over sites counts every hospital once, and no AUC is "
        "computed over pooled images",
    )
    yield from _evidence(run)
    yield _section(
        "What each hospital uses in the end",
        choice_table(run),
        "its own model (without the method local: the kept one), unless its own validation images "
        "clearly prefer another",
        most=MOST_ROWS,
    )
    yield _section("Training", effort_table(run), effort_sentence(run), most=MOST_ROWS)
    yield _section("Failures", failure_table(run), "left out of that round", most=MOST_ROWS)
    yield _section("Cost", cost_table(run), "MB: 10⁶ bytes of tensors, all rounds of one seed")


def _evidence(run: Run) -> Iterable[str]:
    """Yield how sure the test metrics are, where the hospitals' predictions can be read."""
    models = scored_once(run)
    if not models:
        return
    table = evidence.per_site_table(sites.over_seeds(models))
    note = f"{evidence.TESTED}; {grouping_note(models)}"
    yield _section("Each hospital, with intervals", table, note, most=MOST_ROWS)
    if len({one.method for one in models}) > 1:
        compare = run.study.common.compare
        reference = methods.reference_of(models, compare.reference)
        against = methods.against(models, reference, compare)
        table = evidence.against_table(against, methods.by_seed(models, reference), reference)
        note = evidence.verdict_note(reference)
        yield _section(f"Each method against {reference}", table, note, most=MOST_ROWS)
    table = evidence.over_hospitals_table(hospitals.over_hospitals(models))
    yield _section("Across hospitals", table, evidence.POOLED)


def _parted(figures: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the figures of the rollout, and the others."""
    paths = list(figures)
    of_rollout = [path for path in paths if plot_in(path.stem).is_of_rollout]
    return of_rollout, [path for path in paths if path not in of_rollout]


def _rollout(run: Run, figures: Iterable[Path]) -> Iterable[str]:
    if run.timeline.empty:
        return
    yield '<h2>Rollout</h2>\n<p class="note">all hours, weeks and dates are virtual</p>'
    paths = {path.stem: path for path in figures}
    beside = {figure.file for answer in answers() for figure in answer.figures}
    yield from (_figure(path) for name, path in paths.items() if name not in beside)
    for answer in answers():
        for table in answer.tables:
            yield _section(table.title, table.rows(run), table.note, most=MOST_ROWS, level=3)
        yield from (_figure(paths[f.file]) for f in answer.figures if f.file in paths)


def _section(
    title: str, table: pd.DataFrame, note: str, *, most: int | None = None, level: int = 2
) -> str:
    """Return a titled table, folded if it has more rows than ``most``; nothing if it is empty."""
    if table.empty:
        return ""
    body = _html(table)
    if most is not None and len(table) > most:
        body = f"<details><summary>{len(table)} rows</summary>{body}</details>"
    return f'<h{level}>{title}</h{level}>\n<p class="note">{escape(note)}</p>\n{body}'


def _html(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table.columns)
    lines, before = [], None
    for row in table.itertuples(index=False, name=None):
        cells = "".join(
            f"<td{_css_class(str(name), text)}>{escape(text)}</td>"
            for name, text in zip(table.columns, row, strict=True)
        )
        lines.append(f"<tr{' class=first' if row[0] != before else ''}>{cells}</tr>")
        before = row[0]
    body = "\n".join(lines)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _css_class(column: str, text: str) -> str:
    if text.endswith(BEHIND):
        return " class=behind"
    return " class=text" if column == "reason" else ""


def _figures(paths: Iterable[Path]) -> Iterable[str]:
    for by_method, group in groupby(paths, key=lambda path: plot_in(path.stem).is_by_method):
        figures = "\n".join(_figure(path) for path in group)
        title = "Batch-norm drift" if by_method else "Plots"
        folded = f"<details><summary>by method</summary>{figures}</details>"
        yield f"<h2>{title}</h2>\n{folded if by_method else figures}"


def _figure(path: Path) -> str:
    with Image.open(path) as image:
        # A one-column figure is not blown up to the page.
        is_narrow = image.width < NARROW
    text = escape(plot_in(path.stem).caption)
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<figure><img{" class=narrow" if is_narrow else ""} alt="{text}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
    )


def _environment(run: Run) -> str:
    known = run.environment
    versions = {"python": known.get("python"), **known.get("packages", {})}
    dirty = " with changes" if known.get("commit_is_dirty") else ""
    facts = {
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
        "processor": f"{known.get('cpu')}, {known.get('cores')} cores",
        "precision": precision_text(run),
        "GPUs": ", ".join(known.get("gpus", [])) or "none",
        "system": str(known.get("system")),
        "commit": f"{known.get('commit') or 'unknown'}{dirty}",
        "code SHA-256": str(known.get("code_sha256", "unknown")),
        "seeds": ", ".join(map(str, run.study.common.seeds)),
    }
    table = pd.DataFrame({"": list(facts), " ": list(facts.values())})
    return _section("Environment", table, "config.toml repeats this run")
