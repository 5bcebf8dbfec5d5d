"""How far the sites' batch norms have drifted apart, layer by layer."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from federated.errors import UserError
from federated.learning.network import network_of
from federated.plots.numbers import NothingToDrawError
from federated.plots.style import DOUBLE, legend_below, panels, short, site_looks, styled
from federated.runs.once import once
from federated.runs.reading import Run
from federated.runs.vaults import kept_model
from federated.storage import read_tensors

QUANTITIES = {
    "mean": "running mean: |Δμ| / σ",
    "spread": "running variance: |Δ ln σ|",
    "weight": "scale: |Δγ|",
    "bias": "shift: |Δβ|",
}
"""What is compared, each as its mean over a layer's channels; σ² is the mean of both variances."""

MOST_LINES = 6
MOST_NAMES = 24

States = Mapping[str, Mapping[str, Tensor]]
"""Whole models by site."""


@once
def bn_distances(run: Run, method: str, seed: int) -> pd.DataFrame:
    """Return distances between the kept models' batch norms for every layer and pair of sites.

    Layers are in network order. Those that normalise are found by their buffers ``running_mean``
    and ``running_var``; a layer without an affine part has NaN in its place. Reads the private
    models of all sites, which is possible only in a simulation, where they share a disk: in a
    real federation no one could draw this.

    Returns:
        Columns layer, site_a, site_b and those of ``QUANTITIES``.
    """
    vaults = run.files.sites.vaults(method, seed)
    models = {site: kept_model(vault) for site, vault in vaults.items()}
    states = {site: read_tensors(path)[0] for site, path in models.items() if path is not None}
    columns = ["layer", "site_a", "site_b", *QUANTITIES]
    if len(states) < 2:
        return pd.DataFrame(columns=columns)
    layers = _in_network_order(_batch_norms(states), run, method)
    parts = [_distances(states, layer) for layer in layers]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@styled
def bn_drift(run: Run, method: str, seed: int, *, width: float = DOUBLE) -> Figure:
    """Draw ``bn_distances`` over the layers: pairs of sites, and the mean over the pairs.

    Possible only in a simulation, where all sites' private models lie on one disk. Of more than 6
    pairs only the range is drawn. The scale is the same for all methods of the run.

    Raises:
        NothingToDrawError: fewer than two sites have a kept model with batch norm here, or all
            have the same.
    """
    frame = bn_distances(run, method, seed)
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} holds no two batch norms of {method}.")
    if not frame[list(QUANTITIES)].to_numpy(dtype=float, na_value=0.0).any():
        raise NothingToDrawError(f"under {method} all sites have the same batch norm.")
    layers = [str(layer) for layer in frame["layer"].unique()]
    quantities = [name for name in QUANTITIES if frame[name].notna().any()]
    most = pd.concat([bn_distances(run, name, seed) for name in run.study.common.methods])[
        quantities
    ].max()
    figure, axes = panels(len(quantities), width=width, height=1.7, least=3.4, sharey=False)
    for ax, quantity in zip(axes, quantities, strict=True):
        pairs = frame.pivot(index="layer", columns=["site_a", "site_b"], values=quantity)
        _draw_pairs(ax, pairs.loc[layers])
        ax.set_title(QUANTITIES[quantity])
        ax.set_xlim(-0.4, len(layers) - 0.6)
        ax.set_ylim(0, 1.05 * most[quantity] or None)
        _name_layers(ax, layers)
    figure.suptitle(f"Batch norm between sites: {short(method)}, seed {seed}")
    legend_below(figure, axes[0].get_legend_handles_labels()[0])
    return figure


def _batch_norms(states: States) -> set[str]:
    """Return the layers with running statistics that every site has."""
    layers_of_sites = [
        {
            name.removesuffix("running_mean")
            for name in state
            if name.endswith("running_mean") and name.replace("_mean", "_var") in state
        }
        for state in states.values()
    ]
    return set.intersection(*layers_of_sites)


def _in_network_order(layers: set[str], run: Run, method: str) -> list[str]:
    """Return the layers as the network has them; safetensors keeps no order."""
    try:
        state = network_of(run.study.by_method[method], seed=0).state_dict()
    except UserError:
        # A user's own network need not be importable where the run is looked at.
        state = {}
    places = {name: place for place, name in enumerate(state)}

    def key(layer: str) -> tuple[int, list[tuple[bool, int, str]]]:
        parts = re.split(r"(\d+)", layer)
        natural = [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
        return places.get(f"{layer}running_mean", len(places)), natural

    return sorted(layers, key=key)


def _distances(states: States, layer: str) -> pd.DataFrame:
    """Return the distances of one layer, a row per pair of sites."""
    sites = list(states)
    first, second = torch.triu_indices(len(sites), len(sites), offset=1)

    def stacked(name: str) -> Tensor:  # (sites, channels)
        return torch.stack([state[layer + name].double() for state in states.values()])

    mean, var = stacked("running_mean"), stacked("running_var").clamp_min(1e-12)
    sigma = ((var[first] + var[second]) / 2).sqrt()
    distances = {
        "mean": (mean[first] - mean[second]).abs() / sigma,  # (pairs, channels)
        "spread": (var[first].log() - var[second].log()).abs() / 2,
    }
    for name in ("weight", "bias"):
        if all(layer + name in state for state in states.values()):
            affine = stacked(name)
            distances[name] = (affine[first] - affine[second]).abs()
    table = pd.DataFrame({name: d.mean(dim=1).numpy() for name, d in distances.items()})
    table.insert(0, "layer", layer.removesuffix("."))
    table.insert(1, "site_a", [sites[i] for i in first])
    table.insert(2, "site_b", [sites[i] for i in second])
    return table.reindex(columns=["layer", "site_a", "site_b", *QUANTITIES])


def _draw_pairs(ax: Axes, table: pd.DataFrame) -> None:
    """Draw a table of layers x pairs in the order of its rows."""
    places = range(len(table))
    if table.shape[1] <= MOST_LINES:
        sites = (table.columns.get_level_values(name) for name in ("site_a", "site_b"))
        looks = site_looks(str(place) for place in range(table.shape[1])).values()
        for place, (a, b, look) in enumerate(zip(*sites, looks, strict=True)):
            ax.plot(
                places,
                table.iloc[:, place].to_numpy(),
                color=look.colour,
                linestyle=look.line,
                marker=look.marker,
                linewidth=0.8,
                label=f"{short(a, 20)} – {short(b, 20)}",
            )
    else:
        low, high = table.min(axis=1).to_numpy(), table.max(axis=1).to_numpy()
        ax.fill_between(places, low, high, color="#CCCCCC", linewidth=0,
                        label=f"range of {table.shape[1]} pairs")  # fmt: skip
    if table.shape[1] > 1:
        mean = table.mean(axis=1).to_numpy()
        ax.plot(places, mean, color="black", linewidth=1.4, label="mean over pairs")


def _name_layers(ax: Axes, layers: list[str]) -> None:
    if len(layers) > MOST_NAMES:
        ax.set_xlabel("batch-norm layer, input to output")
        return
    told = [short(name, 22) for name in layer_names(layers)]
    ax.set_xticks(range(len(layers)), told, rotation=50,
                  ha="right", rotation_mode="anchor", fontsize=6)  # fmt: skip


_SAID = {"backbone": "", "features": "layer", "longs": "long branch", "downsample": "shortcut"}
"""Names of modules that say nothing to who has not read the network."""


def layer_names(layers: Sequence[str]) -> list[str]:
    """Return layers as a reader would name them: their part of the network, counted from 1.

    ``backbone.longs.0.1`` of several ``longs`` is "long branch 1"; the last number, the place of
    the norm behind its convolution, is left out. A part with one norm has no number; where two
    names would be the same, all keep the modules' own.
    """
    parts = [[part for part in layer.split(".") if not part.isdigit()] for layer in layers]
    words = [[_SAID.get(part, part.replace("_", " ")) for part in found] for found in parts]
    stems = [" ".join(word for word in found if word) or "norm" for found in words]
    counts = Counter(stems)
    met: Counter[str] = Counter()
    told = []
    for stem in stems:
        met[stem] += 1
        told.append(f"{stem} {met[stem]}" if counts[stem] > 1 else stem)
    return told if len(set(told)) == len(told) else list(layers)
