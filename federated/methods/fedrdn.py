"""FedRDN: images normalised by the statistics of a hospital drawn at random (Yan et al. 2025).

CVPR 2025, arXiv 2306.09363. ``model.input = statistics`` normalises an image by mean and deviation
of the hospital's own; in training, this rule has every image normalised by those of a hospital that
is drawn anew, each equally likely:

    training:    (x - mean_j) / deviation_j,  j any hospital
    evaluation:  (x - mean_k) / deviation_k,  k the own one

So what leaves, and what every other hospital is sent, is mean and deviation of the hospital's
images, three numbers each, in the group ``images``; in its first round a hospital knows its own
alone. The paper takes them before training, here they are of the images that training has shown.
"""

import torch
from torch import Tensor, nn

from federated.config.schema import Config
from federated.errors import UserError
from federated.exchange.sharing import Boundary, State, as_group, group
from federated.learning.models.inputs import INPUT, OwnStatistics
from federated.methods.seam import Arrays, Outcome, Rules, ServerRound, SiteRound
from federated.methods.slots import KNOWN, in_slot, known, place_of, slots, told

IMAGES = "images"
PAIR = ("mean", "deviation")


def input_of(model: nn.Module) -> OwnStatistics:
    """Return the layer that normalises images.

    Raises:
        UserError: there is none.
    """
    layer = dict(model.named_children()).get(INPUT)
    if not isinstance(layer, OwnStatistics):
        raise UserError("fedrdn draws statistics of images: it needs model.input = statistics.")
    return layer


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    """Return a slot for mean and deviation of each hospital's images."""
    input_of(model)
    count = slots(config, "fedrdn")
    return {IMAGES: {KNOWN: torch.zeros(count), **{n: torch.zeros(count, 3) for n in PAIR}}}


def site(round: SiteRound) -> Outcome:
    """Train on images normalised as anywhere, then tell the own statistics."""
    layer, sent = input_of(round.model), group(round.sent, IMAGES)
    layer.others = others(sent)
    try:
        trained = round.fit()
    finally:
        layer.others = None
    place, count = place_of(round.config, round.site), len(sent[KNOWN])
    parts = {KNOWN: torch.ones(()), **{name: getattr(layer, name) for name in PAIR}}
    filled = {name: in_slot(tensor, place, count) for name, tensor in parts.items()}
    return Outcome(trained, released=as_group(filled, IMAGES))


def others(sent: State) -> Tensor | None:
    """Return mean and deviation of the hospitals that are known, (K, 2, 3); None if none is."""
    there = sent[KNOWN] > 0
    pairs = torch.stack([sent[name][there] for name in PAIR], dim=1).cpu()
    return pairs if len(pairs) else None


def server(round: ServerRound) -> Arrays:
    """Return what each hospital has told of its images."""
    made = {name: told(round, IMAGES, name) for name in PAIR}
    return as_group({KNOWN: known(round, IMAGES), **made}, IMAGES)


rules = Rules(site=site, groups=groups, server=server)
