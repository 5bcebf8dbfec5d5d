"""Pooled training: the published method itself, all hospitals' images in one process.

Wang, Liu and Dou, arXiv 2009.07652: one set of convolutions, a batch norm per site, and contrast
across the sites of a step. No federation could do this; it is the ceiling to measure one against.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clients.site import Site, private_state
from clients.work import optimizer_tensors, restore_optimizer, training_metrics
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
from federated.learning.batches import (
    Images,
    batch_slices,
    epoch_order,
    load_batch,
    steps_per_epoch,
)
from federated.learning.compute import autocast
from federated.learning.evaluation import outputs
from federated.learning.training import (
    DivergedError,
    Trained,
    class_weights,
    contrastive_loss,
    learning_rate,
    make_optimizer,
)
from federated.seeding import global_torch_seed, seed_for


def train(
    sites: Sequence[Site], order: Order, sent: Mapping[str, Tensor]
) -> tuple[Release, list[Report]]:
    """Train one round on all hospitals at once; every site's batch norm goes to its own vault."""
    first, config = sites[0], sites[0].config
    vaulted = [site.vault.load(before=order.round)[0] for site in sites]
    nets = [first.model] + [copy.deepcopy(first.model) for _ in sites[1:]]
    for net, site, tensors in zip(nets, sites, vaulted, strict=True):
        net.load_state_dict(join(group(sent, WEIGHTS), private_state(site, tensors)))
        tie(net, first.model, site.boundary.shared_names)
    parameters = list(dict.fromkeys(p for net in nets for p in net.parameters()))
    lr = learning_rate(config.train, order.round, config.rounds)
    optimizer = make_optimizer(parameters, config.train, lr)
    restore_optimizer(optimizer, group(vaulted[0], "optimizer"))
    with global_torch_seed(seed_for(first.seed, "pooled", order.round, "layers")):
        trained, seen = train_together(sites, nets, parameters, optimizer, order.round)
    for net, site in zip(nets, sites, strict=True):
        keep = as_group(private_part(net.state_dict(), site.boundary), "private")
        if site is first and config.train.optimizer_state == "keep":
            keep |= as_group(optimizer_tensors(optimizer), "optimizer")
        if keep:
            site.vault.save(order.round, keep, {"round": order.round})
    metrics = training_metrics(trained, None, order.round)
    reports = [
        Report(s.name, "train", "current", len(s.data.train), {**metrics, "images_seen": count})
        for s, count in zip(sites, seen, strict=True)
    ]
    return release(first.model.state_dict(), first.boundary), reports


def tie(net: nn.Module, to: nn.Module, names: Sequence[str]) -> None:
    """Make the tensors ``names`` of ``net`` the very tensors of ``to``."""
    for name in names if net is not to else ():
        path, _, leaf = name.rpartition(".")
        theirs = getattr(to.get_submodule(path), leaf)
        setattr(net.get_submodule(path), leaf, theirs)


def endless(site: Site, images: Images, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the image numbers of batch after batch; a small site starts over, newly shuffled."""
    train = site.config.train
    while True:
        order = epoch_order(images.labels.numpy(), train.sampling, generator)
        yield from (order[batch] for batch in batch_slices(len(order), train.batch_size))


def train_together(
    sites: Sequence[Site],
    nets: Sequence[nn.Module],
    parameters: Sequence[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    round: int,
) -> tuple[Trained, list[int]]:
    """Train for one round, in each step a batch of every site; as long as the largest site needs.

    Returns:
        What was measured over all sites, and how many images of each site were seen.

    Raises:
        DivergedError: the loss is not finite.
    """
    config, compute = sites[0].config, sites[0].compute
    train = config.train
    splits = [site.images("train") for site in sites]
    generators = [site.generator(round, "train") for site in sites]
    streams = [endless(*parts) for parts in zip(sites, splits, generators, strict=True)]
    weights = [
        class_weights(s.labels).to(compute.device) if train.class_weights else None for s in splits
    ]
    # Image numbers of different sites must differ: an image is never its own positive.
    firsts = [sum(len(s) for s in splits[:k]) for k in range(len(splits))]
    contrastive = contrastive_loss(config.contrast, ())
    steps = train.local_epochs * max(steps_per_epoch(len(s), train.batch_size) for s in splits)
    steps = min(steps, train.max_steps or steps)
    totals, seen = torch.zeros(4, dtype=torch.float64), [0] * len(sites)
    for step in range(steps):
        terms, embeddings, classes, numbers = [], [], [], []
        for k, net in enumerate(nets):
            net.train()
            ids = next(streams[k])
            x, y = load_batch(
                splits[k], ids, compute.device, generators[k] if train.augment else None
            )
            with autocast(compute.device, bf16=compute.bf16):
                logits, z = outputs(net, x)
            terms.append(F.cross_entropy(logits, y, weight=weights[k]))
            embeddings.append(z)
            classes.append(y)
            numbers.append(ids + firsts[k])
            seen[k] += len(ids)
        cross_entropy = torch.stack(terms).mean()
        contrast_term = cross_entropy.new_zeros(())
        if contrastive is not None:
            known = [z for z in embeddings if z is not None]
            z_all = torch.cat(known) if known else None
            contrast_term = contrastive(z_all, torch.cat(classes), torch.cat(numbers), x, None)
        loss = cross_entropy + config.contrast.weight * contrast_term
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(parameters, train.clip_norm or math.inf)
        optimizer.step()
        told = torch.stack([loss, cross_entropy, contrast_term, norm]).detach().cpu().double()
        if not told.isfinite().all():
            raise DivergedError(f"the loss is not finite in step {step + 1} of round {round}")
        totals += told
    means = (float(total) / steps for total in totals)
    trained = Trained(next(means), next(means), next(means), next(means), steps, sum(seen))
    return trained, seen
