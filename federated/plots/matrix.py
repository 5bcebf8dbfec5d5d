"""Every hospital's model at every hospital, as a picture of numbers."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from federated.plots.style import DOUBLE, SINGLE, short, styled

MOST_NUMBERS = 12
"""More rows than this have colours only."""


@styled
def matrix_figure(table: pd.DataFrame) -> Figure:
    """Draw test AUCs, means over seeds: a row per model, a column per hospital that it is used at.

    Args:
        table: Columns model_of, at, seed and auc.
    """
    means = table.groupby(["model_of", "at"])["auc"].mean().unstack("at")
    areas, count = means.to_numpy(), len(means)
    side = min(DOUBLE, max(SINGLE, 1.2 + 0.5 * count))
    figure = Figure(figsize=(side, 0.85 * side), dpi=120, layout="constrained")
    ax = figure.subplots()
    low = min(0.5, float(np.nanmin(areas))) if np.isfinite(areas).any() else 0.5
    image = ax.imshow(areas, cmap="cividis", vmin=low, vmax=1.0)
    ax.set_xticks(range(count), [short(str(name), 14) for name in means.columns], rotation=45,
                  ha="right")  # fmt: skip
    ax.set_yticks(range(count), [short(str(name), 14) for name in means.index])
    ax.set(xlabel="used at", ylabel="model of")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if count <= MOST_NUMBERS:
        for row, column in np.ndindex(areas.shape):
            area = areas[row, column]
            is_dark = area < (low + 1) / 2
            text = f"{area:.2f}" if np.isfinite(area) else "–"
            weight = "bold" if row == column else "normal"
            ax.text(column, row, text, ha="center", va="center", weight=weight,
                    color="white" if is_dark else "black")  # fmt: skip
    figure.colorbar(image, ax=ax, label="AUC (test), mean over seeds", shrink=0.85)
    return figure
