"""Pooled training: the published method itself, all hospitals' images in one process.

Wang, Liu and Dou, arXiv 2009.07652: one set of convolutions, a batch norm per site, one optimiser
over all rounds, batches mixed over the sites with the small site repeated, and contrast across the
sites of a batch. No federation could do this; it is the ceiling to measure one against.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from clients.fitting import training_metrics
from clients.joining import save
from clients.site import Site, private_state
from federated.exchange.sharing import (
    WEIGHTS,
    Release,
    as_group,
    group,
    join,
    private_part,
    release,
)
from federated.exchange.wire import Order, Report
from federated.learning.augmentation import training_view
from federated.learning.batches import Batch, Images, endless, load_batch, steps_of_round
from federated.learning.evaluation import outputs
from federated.learning.optimizers import (
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from federated.learning.terms import Term, contrast_of_embeddings, cross_entropy
from federated.learning.training import train_round
from federated.seeding import global_torch_seed, seed_for


class PerSite(nn.Module):
    """One network per site, tied in all that is shared; each sees its own site's images.

    Args:
        nets: A network per site.
        is_one: Whether they are tied in everything.
    """

    def __init__(self, nets: Sequence[nn.Module], *, is_one: bool = False) -> None:
        super().__init__()
        self.nets, self.is_one = nn.ModuleList(nets), is_one

    def forward(self, parts: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Return what the networks return for a batch of each site, one below the other.

        Where a network is tied in its batch norms too, they are one, and see all images at once.
        """
        if self.is_one:
            whole: Tensor | tuple[Tensor, Tensor] = self.nets[0](torch.cat(list(parts)))
            return whole
        pairs = [outputs(net, x) for net, x in zip(self.nets, parts, strict=True)]
        embeddings = [z for _, z in pairs if z is not None]
        logits = torch.cat([logits for logits, _ in pairs])
        return (logits, torch.cat(embeddings)) if embeddings else logits


def train(
    sites: Sequence[Site], order: Order, sent: Mapping[str, Tensor]
) -> tuple[Release, list[Report]]:
    """Train one round on all hospitals at once; every site's batch norm goes to its own vault.

    The loss is that of the mixed batch, so one step of plain SGD is one round of a federation whose
    sites take one such step each on their shares and count the same.
    """
    first, config = sites[0], sites[0].config
    versions = [site.vault.load(before=order.round, after=order.after) for site in sites]
    vaulted = [tensors for tensors, _, _ in versions]
    model = network_of_sites(sites, sent, vaulted)
    lr = learning_rate(config.train, order.round, config.rounds)
    optimizer = make_optimizer(list(model.parameters()), config.train, lr)
    restore_optimizer(optimizer, group(vaulted[0], "optimizer"))
    for parameters in optimizer.param_groups:
        parameters["lr"] = lr
    splits = [site.images("train") for site in sites]
    labels = torch.cat([split.labels for split in splits])
    terms: list[Term] = [
        cross_entropy(config.train, labels, first.compute.device, config.data.class_count)
    ]
    terms += contrast_of_embeddings(config.contrast, order.round)
    counts = [0] * len(sites)
    with global_torch_seed(seed_for(first.seed, "pooled", order.round, "layers")):
        trained = train_round(
            model,
            mixed_batches(sites, splits, order.round, counts),
            terms=terms,
            optimizer=optimizer,
            clip_norm=config.train.clip_norm,
            compute=first.compute,
        )
    for net, site, (_, facts, _) in zip(model.nets, sites, versions, strict=True):
        keep = as_group(private_part(net.state_dict(), site.boundary), "private")
        if site is first and config.train.optimizer_state == "keep":
            keep |= as_group(optimizer_tensors(optimizer), "optimizer")
        save(site, order, keep, facts)
    metrics = training_metrics(trained, None, order.round)
    reports = [
        Report(s.name, "train", "current", len(s.data.train), {**metrics, "images_seen": count})
        for s, count in zip(sites, counts, strict=True)
    ]
    return release(first.model.state_dict(), first.boundary), reports


def network_of_sites(
    sites: Sequence[Site], sent: Mapping[str, Tensor], vaulted: Sequence[Mapping[str, Tensor]]
) -> PerSite:
    """Return the sites' networks with what was sent and what each has in its vault, tied."""
    first = sites[0]
    nets = [first.model] + [copy.deepcopy(first.model) for _ in sites[1:]]
    for net, site, tensors in zip(nets, sites, vaulted, strict=True):
        net.load_state_dict(join(group(sent, WEIGHTS), private_state(site, tensors)))
        tie(net, first.model, site.boundary.shared_names)
    return PerSite(nets, is_one=not first.boundary.private)


def tie(net: nn.Module, to: nn.Module, names: Sequence[str]) -> None:
    """Make the tensors ``names`` of ``net`` the very tensors of ``to``."""
    for name in names if net is not to else ():
        path, _, leaf = name.rpartition(".")
        theirs = getattr(to.get_submodule(path), leaf)
        setattr(net.get_submodule(path), leaf, theirs)


def mixed_batches(
    sites: Sequence[Site], splits: Sequence[Images], round: int, counts: list[int]
) -> Iterator[Batch]:
    """Yield batches that hold an equal share of every site; a small site is repeated.

    A round has ``max-steps`` of them, or as many as the largest site needs for ``local-epochs``.

    Args:
        sites: The hospitals.
        splits: The training images of each.
        round: Names the generators.
        counts: The number of images seen of each site is added here.
    """
    train, device = sites[0].config.train, sites[0].compute.device
    generators = [site.generator(round, "train") for site in sites]
    parts = [replace(train, batch_size=size) for size in shares(train.batch_size, len(sites))]
    streams = [
        endless(split.labels, part, generator)
        for split, part, generator in zip(splits, parts, generators, strict=True)
    ]
    # Image numbers of different sites must differ: an image is never its own positive.
    firsts = [sum(len(s) for s in splits[:k]) for k in range(len(splits))]
    pairs = zip(splits, parts, strict=True)
    for _ in range(max(steps_of_round(len(split), part) for split, part in pairs)):
        ids = [next(stream) for stream in streams]
        loaded = [
            load_batch(split, numbers, device, training_view(train, generator))
            for split, numbers, generator in zip(splits, ids, generators, strict=True)
        ]
        for k, numbers in enumerate(ids):
            counts[k] += len(numbers)
        numbers = torch.cat([own + start for own, start in zip(ids, firsts, strict=True)])
        yield Batch([x for x, _ in loaded], torch.cat([y for _, y in loaded]), numbers)


def shares(batch_size: int, sites: int) -> list[int]:
    """Return how many images of a batch each site gives: equal shares, two or more each.

    Two, because one alone has no batch statistics. The published code shuffles all images together,
    so that shares vary by chance, and leaves a lone image out.
    """
    return [max(2, batch_size // sites + (k < batch_size % sites)) for k in range(sites)]
