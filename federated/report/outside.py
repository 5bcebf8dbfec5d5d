"""What models say of images from outside their run: tables, predictions and figures in a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from federated.config.evaluation import Compare
from federated.plots.probabilities import decision_figure, reliability_figure
from federated.plots.style import save
from federated.plots.terminal import printed
from federated.report import evidence
from federated.statistics import methods, sites
from federated.statistics.scored import Scored, grouping_note
from federated.unseen.evaluating import table_of

THRESHOLDS = "the threshold is that of the run's validation images: the new images chose nothing"


def write_evaluation(models: Sequence[Scored], compare: Compare, folder: Path) -> Iterator[str]:
    """Write predictions, numbers and figures into a folder, and yield what to print.

    Args:
        models: Scored images from outside the run.
        compare: The run's reference and margins; with one method there is nothing to compare.
        folder: Where to; made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    each = sites.over_seeds(models)
    tables = {"predictions": table_of(models), "by-seed": sites.by_seed(models), "by-site": each}
    words = evidence.CLASSES if models[0].classes else THRESHOLDS
    yield f"{printed(evidence.per_site_table(each))}\n\n{words}; {grouping_note(models)}.\n"
    if models[0].classes:
        tables["by-class"] = sites.by_class(models)
        yield f"{printed(evidence.per_class_table(tables['by-class']))}\n"
    if len({one.method for one in models}) > 1:
        reference = methods.reference_of(models, compare.reference)
        against = methods.against(models, reference, compare)
        tests = methods.by_seed(models, reference)
        yield printed(evidence.against_table(against, tests, reference))
        yield f"\n{evidence.verdict_note(reference)}.\n"
        tables |= {"compared-by-site": against, "compared-by-seed": tests}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        yield f"table:   {folder / name}.csv"
    names = sorted({one.site for one in models})
    if models[0].classes:
        return
    for name, draw in (("reliability", reliability_figure), ("decision-curve", decision_figure)):
        [path] = save(draw(models, names), folder / name)
        yield f"picture: {path}"
