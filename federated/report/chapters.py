"""The chapters of a run's page, in their order: what each shows of tables and figures."""

from collections.abc import Callable, Iterator, Mapping
from html import escape

from federated.answers import answers
from federated.plots import NothingToDrawError
from federated.plots.style import SINGLE, save
from federated.report import evidence
from federated.report.conclusion import MODELS
from federated.report.curves import curves
from federated.report.facts import environment_table, to_repeat
from federated.report.gallery import drawings, plot_in
from federated.report.markup import MOST_ROWS, chapter, picture, section
from federated.report.standing import USED, standings
from federated.report.tables import (
    BEHIND,
    CHOSEN,
    FINAL_AUC,
    KEPT_AUC,
    choice_table,
    class_table,
    cost_table,
    decisions_note,
    failure_table,
    mark_of,
    method_table,
    shortened_table,
    shown_in,
    site_table,
    threshold_table,
)
from federated.report.traffic import TRAFFIC, traffic_table
from federated.runs.reading import Run
from federated.statistics import hospitals, methods
from federated.statistics.effort import effort_sentence, effort_table
from federated.statistics.images import scored_once
from federated.statistics.scored import grouping_note

Progress = Callable[[str, int, int], None]


def silent(name: str, begun: int, total: int) -> None:
    """Tell nobody."""


Pictures = dict[str, str]
"""Figure's file -> its HTML; who shows one takes it out."""


def chapters(
    run: Run,
    prefix: str = "",
    *,
    draw: bool,
    patients: bool = False,
    report: Progress = silent,
) -> dict[str, str]:
    """Return the chapters of one run by their titles, those without anything to show left out.

    Args:
        run: The run.
        prefix: Of the titles, where a page has several runs.
        draw: Whether there are figures.
        patients: Whether they show single images of patients, too.
        report: Called with each figure's name when it is begun, how many were, and of how many.
    """
    drawn = dict(_drawn(run, prefix, patients=patients, report=report)) if draw else {}
    made = {
        prefix + title: chapter(prefix + title, make(run, drawn))
        for title, make in _CHAPTERS.items()
    }
    return {title: html for title, html in made.items() if html}


def _drawn(run: Run, prefix: str, *, patients: bool, report: Progress) -> Iterator[tuple[str, str]]:
    """Yield name and HTML of every figure that the run has the numbers for; keep them as PNG."""
    run.files.plots.mkdir(parents=True, exist_ok=True)
    wanted = list(drawings(run, patients=patients))
    for number, (name, draw) in enumerate(wanted):
        report(name, number, len(wanted))
        try:
            wide, narrow = draw(), draw(width=SINGLE)
        except NothingToDrawError:
            # Of an earlier page, perhaps with patients, and of none that is made now.
            (run.files.plots / f"{name}.png").unlink(missing_ok=True)
            continue
        save(wide, run.files.plots / name)
        wide.set_layout_engine("none")  # it is laid out by now, which takes as long as to draw it
        plot = plot_in(name)
        yield name, picture(wide, narrow, plot.caption, prefix + name, photos=plot.has_photos)


def _take(drawn: Pictures, *names: str) -> Iterator[str]:
    for name in names:
        yield drawn.pop(name, "")


def _each_hospital(run: Run, drawn: Pictures) -> Iterator[str]:
    table, (_, note) = site_table(run), shown_in(run)
    marked = any(table[column].str.endswith(BEHIND).any() for column in (FINAL_AUC, KEPT_AUC))
    mark = mark_of(standings(run, USED).reference) if marked else ""
    words = ". ".join(text for text in (CHOSEN, note, mark) if text)
    yield section("Test AUC of each hospital", table, words)
    meanings = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in MODELS.items())
    yield f"<details open><summary>Which model is which</summary><dl>{meanings}</dl></details>"
    yield from _take(drawn, "comparison", "forest")
    yield section(
        "What each hospital uses in the end",
        choice_table(run),
        "its own model (without the method local: the kept one), unless its own validation images "
        "clearly prefer another; seed by seed, in brackets DeLong's interval, which takes each "
        "image by itself",
        most=MOST_ROWS,
    )


def _comparison(run: Run, drawn: Pictures) -> Iterator[str]:
    table = method_table(run)
    yield section("Over hospitals", table, "final models; a mean counts every hospital once")
    models = scored_once(run, USED)
    yield from _take(drawn, "differences")
    if not models:
        return
    if len({one.method for one in models}) > 1:
        compare = run.study.common.compare
        reference = methods.reference_of(models, compare.reference)
        against = methods.against(models, reference, compare)
        table = evidence.against_table(against, methods.by_seed(models, reference), reference)
        note = f"Final models. {evidence.verdict_note(reference)}"
        yield section(f"Each method against {reference}", table, note, most=MOST_ROWS)
    table = evidence.over_hospitals_table(hospitals.over_hospitals(models))
    yield section("Pooled over hospitals", table, f"{evidence.POOLED}; {grouping_note(models)}")


def _convergence(run: Run, drawn: Pictures) -> Iterator[str]:
    if drawn:
        yield curves(run)
    yield from _take(drawn, "convergence", "methods", "worst-and-mean", "training-loss")


def _threshold(run: Run, drawn: Pictures) -> Iterator[str]:
    title = "Over classes" if run.study.common.data.classes else "At the threshold"
    yield section(title, threshold_table(run), f"Final models. {decisions_note(run)}")
    yield section("Each class against the rest", class_table(run), "Final models")
    yield from _take(drawn, "roc", "reliability", "decision-curve", "examples")


def _rollout(run: Run, drawn: Pictures) -> Iterator[str]:
    if run.timeline.empty:
        return
    yield '<p class="note">All hours, weeks and dates are virtual.</p>'
    yield from _take(drawn, "rollout", "rollout-convergence")
    for answer in answers():
        tables = [(t, t.rows(run)) for t in answer.tables] if answer.suits(run) else []
        yield from (section(t.title, rows, t.note, most=MOST_ROWS) for t, rows in tables)
        yield from _take(drawn, *(figure.file for figure in answer.figures))


def _inside(run: Run, drawn: Pictures) -> Iterator[str]:
    yield from _take(drawn, "memory", "memory-age")
    norms = [drawn.pop(name) for name in list(drawn) if plot_in(name).is_by_method]
    yield from norms
    yield from (drawn.pop(name) for name in list(drawn) if name != "egress")


def _costs(run: Run, drawn: Pictures) -> Iterator[str]:
    yield section("What left the hospitals", traffic_table(run), TRAFFIC)
    yield from _take(drawn, "egress")
    yield section("Cost", cost_table(run), "MB: 10⁶ bytes of tensors, all rounds of one seed")
    yield section("Training", effort_table(run), effort_sentence(run), most=MOST_ROWS)
    yield section("Failures", failure_table(run), "left out of that round", most=MOST_ROWS)
    note = "longer than server.norm-bound allows, and shortened to it"
    yield section("Shortened updates", shortened_table(run), note, most=MOST_ROWS)


def _repeating(run: Run, drawn: Pictures) -> Iterator[str]:
    where = "Beside the folder of the run, whose config.toml holds every setting."
    yield f"<h3>The command</h3>\n<p class=note>{where}</p>"
    yield f"<pre><code>{escape(to_repeat(run))}</code></pre>"
    yield section("Environment", environment_table(run), "on what the numbers were computed")


_CHAPTERS: Mapping[str, Callable[[Run, Pictures], Iterator[str]]] = {
    "Each hospital": _each_hospital,
    "Method against method": _comparison,
    "Convergence": _convergence,
    "Threshold and calibration": _threshold,
    "Over time": _rollout,
    "What stays inside": _inside,
    "Traffic, cost and training": _costs,
    "How to repeat it": _repeating,
}
"""In the order of the page."""
