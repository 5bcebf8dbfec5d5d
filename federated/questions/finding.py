"""What is found out by several runs: words, numbers, the same as text and as a figure."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from federated.plots.style import save


@dataclass(frozen=True)
class Finding:
    """The answer to a question that takes several runs.

    Attributes:
        words: What a reader has to know before the table.
        numbers: All numbers, unrounded.
        text: The same as text.
        figure: The same drawn.
        formats: In which the figure is written.
    """

    words: str
    numbers: pd.DataFrame
    text: pd.DataFrame
    figure: Figure
    formats: tuple[str, ...] = ("png",)

    def write(self, stem: Path) -> tuple[Path, list[Path]]:
        """Write the numbers as ``stem.csv`` and the figure beside them; return the paths."""
        table = stem.with_name(f"{stem.name}.csv")
        self.numbers.to_csv(table, index=False)
        return table, save(self.figure, stem, self.formats)
