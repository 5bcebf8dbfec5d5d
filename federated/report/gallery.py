"""Every figure that a run has the numbers for."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from federated.answers.rollout_lines import rollout_convergence
from federated.answers.rollout_tables_and_figures import answers
from federated.plots.comparison import comparison
from federated.plots.convergence import (
    convergence,
    methods_side_by_side,
    training_loss,
    worst_and_mean,
)
from federated.plots.drift import bn_drift
from federated.plots.memory import memory_occupancy
from federated.plots.numbers import NothingToDrawError
from federated.plots.roc import roc
from federated.plots.rollout import rollout
from federated.plots.style import save
from federated.runs.reading import Run

CAPTIONS = {
    "convergence": "Validation AUC over rounds at each site. Rings: the round kept, chosen on "
    "validation. With several seeds: their mean and, of up to 5 methods, their range.",
    "methods": "Validation AUC over rounds by method, a line per site.",
    "worst-and-mean": "Test AUC of the worst site of each round, and the unweighted mean over "
    "sites. Shown to see, never used to choose.",
    "comparison": "Test AUC of the kept models. Dots: seeds; bars: their mean; dashed: the "
    "hospital alone.",
    "roc": "ROC on test images of the kept models, site by site; every seed a curve.",
    "training-loss": "Cross-entropy on training images, contrastive and proximal terms left out.",
    "rollout": "Who took part when. Bars: computing and transfer; where a bar would be too narrow "
    "to see, a tick a round.",
    "rollout-convergence": "Validation AUC over virtual time. Dotted: the hospital joins; ticks at "
    "the lower edge: others do.",
    "rollout-target": "When each hospital reached its target AUC, together and alone; several "
    "seeds: their median, small dots: the seeds. An arrow at the right edge: not in this run. If "
    "the target is the best AUC reached alone, everyone gets there alone in the end.",
    "rollout-benefit": "Validation AUC together minus alone over virtual time; alone: its latest "
    "evaluation up to then. Above zero it pays to take part.",
    "rollout-waiting": "Left: how each hospital spent its virtual hours. Right: hours that all "
    "others of a round waited for it alone, between the last but one update and its own.",
    "rollout-cost": "Test AUC of the kept models over alone, against what it cost.",
    "rollout-joining": "What newcomers gained over alone, and how the others' AUC moved from "
    "before to 3 rounds after: observed, not the newcomer's doing. Lines: range of the seeds.",
    "rollout-disturbances": "Validation AUC before a disturbance, after it and at the end: of the "
    "hospital itself (solid) and the mean of the others (dashed). Bars: range of the seeds.",
    "memory": "The sites' contrastive memories when each round's training ended.",
}
DRIFT_CAPTION = (
    "Distance between the sites' kept batch norms by layer (mean over channels). Visible only "
    "because a simulation's sites share one disk."
)


def drawings(run: Run) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield file name and drawing of every figure there is for a run, also for what it lacks."""
    yield "convergence", partial(convergence, run)
    yield "methods", partial(methods_side_by_side, run)
    yield "worst-and-mean", partial(worst_and_mean, run)
    yield "comparison", partial(comparison, run)
    yield "roc", partial(roc, run)
    yield "training-loss", partial(training_loss, run)
    yield "memory", partial(memory_occupancy, run)
    if not run.timeline.empty:
        yield "rollout", partial(rollout, run)
        yield "rollout-convergence", partial(rollout_convergence, run)
        for answer in answers().values():
            for name, draw in answer.figures.items():
                yield name, partial(draw, run)
    for method in run.study.common.methods:
        yield f"bn-drift-{method}", partial(bn_drift, run, method, run.study.common.seeds[0])


def caption(name: str) -> str:
    """Return the caption of a figure by its file name without ending."""
    return CAPTIONS.get(name, DRIFT_CAPTION)


def save_all(run: Run, folder: Path, formats: Iterable[str] = ("png",)) -> list[Path]:
    """Write every figure that the run has numbers for into ``folder``; return the files' paths.

    Batch-norm drift is drawn for each method with the run's first seed. A run that has not ended,
    or whose sites' side lies elsewhere, has fewer figures. At the server's side of a real
    federation neither ROC nor drift can be drawn; here they show what the sites keep to
    themselves, so mind to whom a simulation on real images gives them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    formats = tuple(formats)
    paths = []
    for name, draw in drawings(run):
        try:
            figure = draw()
        except NothingToDrawError:
            continue
        paths += save(figure, folder / name, formats)
    return paths
