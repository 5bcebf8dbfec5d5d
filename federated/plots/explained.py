"""Images in rows, and over each of them where a model looked."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from federated.plots.style import DOUBLE, short, styled

HEAT = "inferno"
OPAQUE = 0.6
"""Of the map where it is greatest; where it is 0 the image alone is seen."""


class Shown(Protocol):
    """An image, what it is, and the map over it."""

    @property
    def title(self) -> str:
        """What is written over it."""

    @property
    def image(self) -> npt.NDArray[np.float64]:
        """(S, S), 0 to 1."""

    @property
    def heat(self) -> npt.NDArray[np.float64]:
        """(S, S), 0 to 1."""


@styled
def contact_sheet(rows: Mapping[str, Sequence[Shown]], title: str) -> Figure:
    """Draw rows of images, each with the image alone above and the map over it below.

    Args:
        rows: Title of a row to its images.
        title: Of all.
    """
    columns = max(map(len, rows.values()))
    side = min(1.3, DOUBLE / columns)
    figure = Figure(
        figsize=(max(3.4, side * columns), 0.5 + len(rows) * (2 * side + 0.6)),
        dpi=120,
        layout="constrained",
    )
    figure.suptitle(title)
    parts = np.atleast_1d(figure.subfigures(len(rows), 1))  # type: ignore[arg-type]
    for part, (name, shown) in zip(parts, rows.items(), strict=True):
        part.suptitle(name, x=0.01, ha="left", weight="bold")
        axes = part.subplots(2, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for column, one in enumerate(shown):
            for ax in axes[:, column]:
                ax.imshow(one.image, cmap="gray", vmin=0, vmax=1)
            axes[0, column].set_title(short(one.title, 44).replace(": ", ":\n"), fontsize=6)
            axes[1, column].imshow(one.heat, cmap=HEAT, vmin=0, vmax=1, alpha=OPAQUE * one.heat)
    scale = ScalarMappable(Normalize(0, 1), HEAT)
    bar = figure.colorbar(scale, ax=parts[-1].axes, location="bottom", shrink=0.5, aspect=40)
    bar.set_label("speaks for the class to be found, in each image its greatest as 1 (Grad-CAM)")
    return figure
