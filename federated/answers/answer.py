"""What an answer is made of: numbers, tables of text, figures, and the words around them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from federated.errors import UserError
from federated.plots.plot import Plot
from federated.plots.style import save
from federated.plots.time_axis import needs_timeline
from federated.runs.reading import Run

FORMATS = ("png", "pdf")


@dataclass(frozen=True)
class TextTable:
    """One table of an answer: its title, what makes its text, and what a reader has to know."""

    title: str
    rows: Callable[[Run], pd.DataFrame]
    note: str


@dataclass(frozen=True)
class Answer:
    """What a run says to one question.

    Attributes:
        name: Of its file.
        numbers: All numbers, unrounded.
        tables: The same as text, means over seeds; all are empty if there is nothing to tell.
        figures: The same drawn.
        nothing: What to say if there is nothing to tell.
        check: Raises a ``UserError`` if the run cannot be asked.
    """

    name: str
    numbers: Callable[[Run], pd.DataFrame]
    tables: tuple[TextTable, ...]
    figures: tuple[Plot, ...]
    nothing: str
    check: Callable[[Run], None] = needs_timeline

    def suits(self, run: Run) -> bool:
        """Return whether the run can be asked."""
        try:
            self.check(run)
        except UserError:
            return False
        return True

    def write_numbers(self, run: Run) -> Path:
        """Write all numbers into ``answers/`` of the run's folder, and return the path."""
        run.files.answers.mkdir(exist_ok=True)
        path = run.files.answers / f"{self.name}.csv"
        self.numbers(run).to_csv(path, index=False)
        return path

    def write_figure(self, run: Run, figure: Plot) -> list[Path]:
        """Write one of the figures beside the numbers, and return the paths.

        Raises:
            NothingToDrawError: the run lacks the numbers.
        """
        return save(figure.draw(run), run.files.answers / stem_of(figure), FORMATS)


def stem_of(figure: Plot) -> str:
    """Return an answer's figure's name among the answers, which are all of a rollout."""
    return figure.file.removeprefix("rollout-")
