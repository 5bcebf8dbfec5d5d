"""``consilium compare`` and ``checklist``: what a reviewer asks of one or several runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federated.errors import UserError

if TYPE_CHECKING:
    from federated.runs.reading import Run


def add(commands: Any) -> None:
    """Add the command to the command's subparsers."""
    parser = commands.add_parser(
        "compare",
        help="intervals, paired tests, non-inferiority and pooled AUC of one or several runs",
        epilog="examples: consilium compare runs/demo · consilium compare runs/a runs/b --to "
        "a/fedbn --model final",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument(
        "--to",
        metavar="METHOD",
        help="what the others are compared with (compare.reference of the run)",
    )
    parser.add_argument(
        "--model", choices=("kept", "final"), default="kept", help="which model of a site (kept)"
    )
    parser.set_defaults(call=_compare)
    checklist = commands.add_parser(
        "checklist", help="CLAIM, TRIPOD+AI and TRIPOD-Cluster, filled in with what a run knows"
    )
    checklist.add_argument("folder", type=Path, metavar="RUN", help="the run's folder")
    checklist.set_defaults(call=_checklist)


def _compare(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.plots.terminal import printed
        from federated.report import evidence
        from federated.runs.reading import load
        from federated.statistics import hospitals, methods, sites
        from federated.statistics.images import scored
        from federated.statistics.scored import grouping_note
    runs = [load(folder) for folder in arguments.folders]
    models = scored(runs, arguments.model)
    if elsewhere := "".join(run.elsewhere for run in runs):
        raise UserError(f"there are no predictions to compare.{elsewhere}")
    compare = runs[0].study.common.compare
    reference = methods.reference_of(models, arguments.to or compare.reference)
    if arguments.to and reference != arguments.to:
        there = ", ".join(dict.fromkeys(one.method for one in models))
        raise UserError(f"--to {arguments.to}: there is no such method; there are {there}.")
    each, across = sites.over_seeds(models), hospitals.over_hospitals(models)
    tested = methods.by_seed(models, reference)
    against = methods.against(models, reference, compare)
    over_sites = methods.over_sites(tested)
    by_class = sites.by_class(models)
    note = f"{evidence.CLASSES if len(by_class) else evidence.TESTED}; {grouping_note(models)}"
    _show("Each hospital", printed(evidence.per_site_table(each)), note)
    if len(by_class):
        text = printed(evidence.per_class_table(by_class))
        _show("Each class against the rest", text, "Means over seeds; AUC by bootstrap")
    text = printed(evidence.against_table(against, tested, reference))
    _show(f"Each method against {reference}", text, evidence.verdict_note(reference))
    text = printed(evidence.over_sites_table(over_sites))
    _show("Over hospitals and seeds", text, evidence.FEWEST)
    text = printed(evidence.over_hospitals_table(across))
    _show("Across hospitals", text, evidence.POOLED)
    tables = {
        "evidence-by-seed": sites.by_seed(models),
        "evidence-by-site": each,
        **({"evidence-by-class": by_class} if len(by_class) else {}),
        "compared-by-seed": tested,
        "compared-by-site": against,
        "compared-over-sites": over_sites,
        "across-hospitals": across,
    }
    _write(runs[0], tables)


def _checklist(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.report.checklist import write_checklist
        from federated.runs.reading import load
    path, filled, total = write_checklist(load(arguments.folder))
    print(f"{path}: {filled} of {total} items filled in; the others are marked as the author's")


def _show(title: str, text: str, note: str) -> None:
    from federated.plots.terminal import wrapped

    print("\n".join([title, "", text, "", *wrapped(f"{note}."), ""]))


def _write(run: "Run", tables: dict[str, Any]) -> None:
    """Write all numbers, unrounded, beside the first run's answers, and say where."""
    run.files.answers.mkdir(exist_ok=True)
    for name, table in tables.items():
        path = run.files.answers / f"{name}.csv"
        table.to_csv(path, index=False)
        print(f"table:   {path}")
