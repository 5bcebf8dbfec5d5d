"""Every figure that a run has the numbers for."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from federated.answers import answers
from federated.errors import UserError
from federated.plots import PLOTS, NothingToDrawError
from federated.plots.plot import Drawing, Plot
from federated.plots.style import save
from federated.runs.reading import Run


def declared() -> Iterator[Plot]:
    """Yield every figure there is: those of a run, and those of its answers."""
    yield from PLOTS
    for answer in answers():
        yield from answer.figures


def drawings(run: Run, *, patients: bool = False) -> Iterator[Drawing]:
    """Yield file name and drawing of every figure there is for a run, also for what it lacks.

    Single images, and embeddings of them, are of phantoms alone unless ``patients`` is set.
    """
    for plot in declared():
        yield from plot.drawings(run, patients=patients)


def plot_in(stem: str) -> Plot:
    """Return what is drawn in a file, by its name without ending.

    Raises:
        UserError: no figure has such a name.
    """
    for plot in declared():
        if plot.is_in(stem):
            return plot
    raise UserError(
        f"'{stem}' is the name of no figure; there are {', '.join(p.file for p in declared())}."
    )


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
