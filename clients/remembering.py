"""The site's contrastive memory between messages: out of the vault, into it, filled from nothing.

In the vault an entry's image is numbered among all the training images that the site will ever
have: such numbers stay valid while images come in. In a round it is numbered among those present.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from clients.site import Site
from federated.exchange.sharing import group
from federated.learning.batches import Images
from federated.learning.evaluation import embed
from federated.learning.memory import ContrastiveMemory


def arrived_memory(
    site: Site, vaulted: Mapping[str, Tensor], images: Images, round: int
) -> ContrastiveMemory | None:
    """Return the site's memory as it should be now that the server's weights have arrived."""
    contrast = site.config.contrast
    stored = group(vaulted, "memory")
    if not stored or not contrast.memory_size:
        return None
    memory = ContrastiveMemory.from_state(contrast.memory_size, _of_those_present(site, stored))
    if contrast.stale == "drop":
        memory = memory.drop_older_than(round, contrast.max_age)
    elif contrast.stale == "re-embed":
        memory = memory.re_embed(lambda i: embed(site.model, images, i, site.compute), round=round)
    return memory.to(site.compute.device)


def memory_state(site: Site, memory: ContrastiveMemory) -> dict[str, Tensor]:
    """Return the memory's tensors for the vault, its images numbered among all of the site's."""
    state = memory.state()
    if site.present is None:
        return state
    return {**state, "ids": torch.from_numpy(site.present)[state["ids"].cpu()]}


def filled_memory(site: Site, round: int) -> ContrastiveMemory | None:
    """Return a memory of the site's own training images under the resident model.

    As many as it holds, drawn at random; None if the method has no use for a memory.
    """
    contrast, images = site.config.contrast, site.images("train")
    if not contrast.memory_size or contrast.objective == "none":
        return None
    shuffled = torch.randperm(len(images), generator=site.generator(round, "fill memory"))
    ids = shuffled[: contrast.memory_size]
    z = embed(site.model, images, ids, site.compute)
    memory = ContrastiveMemory.empty(contrast.memory_size, z.shape[1])
    return memory.push(z, images.labels[ids], ids, round=round)


def _of_those_present(site: Site, stored: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a memory's state with its images numbered among those present, the others left out."""
    if site.present is None:
        return stored
    present = torch.from_numpy(site.present)
    here = torch.isin(stored["ids"], present)
    state = {name: tensor[here] for name, tensor in stored.items()}
    return {**state, "ids": torch.searchsorted(present, state["ids"])}
