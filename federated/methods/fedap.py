"""FedAP: a mean of its own for every hospital, of those whose batch norms are like its own.

Lu et al., IEEE TBD 2022, arXiv 2112.00734. Batch norm is private as in FedBN. The distance of two
hospitals is the sum over batch norms of the Wasserstein distance of their statistics, and hospital
i is sent a mean of its own over the models theta_j of all:

    d_ij = sum over layers of sqrt( ||mean_i - mean_j||^2 + ||deviation_i - deviation_j||^2 )
    w_ii = own;  w_ij = (1 - own) (1 / d_ij) / sum over k other than i of (1 / d_ik)
    theta_i <- sum_j w_ij theta_j

with own = 0.5. The server needs the statistics for that, which a FedBN hospital never lets go. So
they leave here by name, once, after a hospital's first round, in the group ``statistics``: whoever
does not list it cannot take part. The server keeps them and sends them to nobody. Models travel in
slots, one a hospital, in the group ``models``: all hospitals' means go to each of them, and a
message is as many times as long as there are hospitals. The paper's statistics are those of one
model trained before; here each hospital's own after round 1 (its f-FedAP, with one round).
"""

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from federated.config.schema import Config
from federated.exchange.sharing import Boundary, State, as_group, group
from federated.methods.hbn import norms_in
from federated.methods.seam import MEMORY, Arrays, Arrived, Outcome, Rules, ServerRound, SiteRound
from federated.methods.slots import KNOWN, Float64, in_slot, known, place_of, slots, told

MODELS, STATISTICS, PLACE = "models", "statistics", "place"
KINDS = ("mean", "deviation")
NEAREST = 1e-14
"""Least distance, so that hospitals of equal statistics have a weight."""


def trained_in(model: nn.Module, boundary: Boundary) -> dict[str, nn.Parameter]:
    """Return the shared parameters that training moves."""
    shared = set(boundary.shared_names)
    return {n: p for n, p in model.named_parameters() if n in shared and p.requires_grad}


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    """Return slots for every hospital's weights, and for the statistics of its batch norms."""
    count = slots(config, "fedap")
    weights = {n: torch.zeros(count, *p.shape) for n, p in trained_in(model, boundary).items()}
    statistics = {
        f"{kind}/{path}": torch.zeros(count, norm.num_features)
        for path, norm in norms_in(model).items()
        for kind in KINDS
    }
    flags = {KNOWN: torch.zeros(count)}
    return {MODELS: {**flags, **weights}, STATISTICS: {**flags, **statistics}}


def site(round: SiteRound) -> Outcome:
    """Train from the hospital's own mean; tell its weights, and the first time its statistics."""
    sent, place = group(round.sent, MODELS), place_of(round.config, round.site)
    parameters = {n: p for n, p in round.model.named_parameters() if n in sent}
    if sent[KNOWN][place] > 0:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(sent[name][place])
    trained = round.fit()
    weights = {KNOWN: torch.ones(()), **{n: p.detach() for n, p in parameters.items()}}
    statistics = statistics_of(round.model)
    if round.kept:
        statistics = {name: tensor * 0 for name, tensor in statistics.items()}
    released = {**as_group(weights, MODELS), **as_group(statistics, STATISTICS)}
    filled = {name: in_slot(t, place, len(sent[KNOWN])) for name, t in released.items()}
    return Outcome(trained, kept={PLACE: torch.tensor(place)}, released=filled)


def statistics_of(model: nn.Module) -> State:
    """Return mean and deviation that each batch norm holds, and 1 for being there."""
    parts: State = {KNOWN: torch.ones(())}
    for path, norm in norms_in(model).items():
        both = (norm.get_buffer("running_mean"), norm.get_buffer("running_var").sqrt())
        parts = {**parts, **{f"{k}/{path}": t for k, t in zip(KINDS, both, strict=True)}}
    return parts


def own_mean(arrived: Arrived) -> State:
    """Return the network with the hospital's own mean in the place of everybody's."""
    sent, place = group(arrived.sent, MODELS), int(arrived.kept[PLACE])
    own = {name: tensor[place] for name, tensor in sent.items() if name != KNOWN}
    return {**arrived.state, **(own if sent[KNOWN][place] > 0 else {})}


def server(round: ServerRound, *, own: float) -> Arrays:
    """Return each hospital's mean, and what is remembered of all statistics."""
    remembered = remembered_statistics(round)
    here = known(round, MODELS)
    matrix = weights_of(remembered, here > 0, own)
    made: dict[str, Float64] = {f"{MODELS}/{KNOWN}": here}
    for name in group(round.before, MODELS):
        if name != KNOWN:
            made[f"{MODELS}/{name}"] = np.tensordot(matrix, told(round, MODELS, name), axes=1)
    nothing = {n: np.zeros(a.shape) for n, a in round.before.items() if n.startswith(STATISTICS)}
    return {**made, **nothing, **as_group(remembered, MEMORY)}


def remembered_statistics(round: ServerRound) -> dict[str, Float64]:
    """Return the statistics of all hospitals that have told them, by ``KIND/PATH``: (K, C)."""
    remembered = {}
    weights = np.asarray(round.mean[f"{STATISTICS}/{KNOWN}"], np.float64)
    there = weights > 0
    for name, filled in group(round.mean, STATISTICS).items():
        before = round.memory.get(f"{MEMORY}/{name}", np.zeros(filled.shape))
        made = np.asarray(before, np.float64).copy()
        made[there] = (filled.T / np.where(there, weights, 1.0)).T[there]
        remembered[name] = made
    return remembered


def weights_of(statistics: Arrays, here: npt.NDArray[np.bool_], own: float) -> Float64:
    """Return (K, K), in row i the weights of hospital i's mean; they sum to 1.

    Args:
        statistics: By ``KIND/PATH``, (K, C) each.
        here: (K,) whether a hospital has sent a model; others have no weight and keep their slot.
        own: Weight of its own model.
    """
    matrix = np.eye(len(here))
    closeness = 1.0 / np.maximum(distances(statistics, len(here)), NEAREST)
    for i in np.flatnonzero(here):
        others = closeness[i] * here
        others[i] = 0.0
        if others.any():
            matrix[i] = (1.0 - own) * others / others.sum()
            matrix[i, i] = own
    return matrix


def distances(statistics: Arrays, count: int) -> Float64:
    """Return (K, K) the sum over layers of the Wasserstein distances."""
    total = np.zeros((count, count))
    for path in sorted({n.partition("/")[2] for n in statistics} - {""}):
        pairs = [np.asarray(statistics[f"{kind}/{path}"], np.float64) for kind in KINDS]
        squares = [((a[:, None] - a[None]) ** 2).sum(axis=2) for a in pairs]
        total += np.sqrt(np.sum(squares, axis=0))
    return total


def rules_with(own: float = 0.5) -> Rules:
    """Return the rules with another weight of a hospital's own model in its mean."""
    return Rules(site=site, groups=groups, server=partial(server, own=own), personal=own_mean)


rules = rules_with()
