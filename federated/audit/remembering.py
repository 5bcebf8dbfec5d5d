"""The contrastive memory, if it were shared: whose images are in it?

An attacker who has the embeddings makes that of an image he holds, and looks for its like.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from federated.audit.finding import Case
from federated.audit.guessing import Floats, Guess
from federated.audit.membership import Pool
from federated.audit.sizes import Sizes
from federated.audit.subject import Subject
from federated.learning.batches import evaluation_slices
from federated.learning.evaluation import outputs
from federated.learning.memory import unit

NAME = "Whose images are in the memory, if it were shared?"
OTHER = "the memory of another hospital, which holds none of these images, tells as much"


def remembering(subject: Subject, pool: Pool, sizes: Sizes) -> Iterator[Case]:
    """Yield the attack on the memory in the hospital's vault; nothing if the method has none.

    The control is a memory made of the same images by the attacker's own network: each is found.
    """
    memory = subject.memory()
    others = [name for name in subject.run.sites if name != subject.site]
    strange = next((m for name in others if (m := subject.memory(name))), None)
    if memory is None or strange is None:
        return
    inside = torch.unique(memory.ids).numpy()
    remembered = np.isin(np.arange(len(subject.data.train)), inside)
    members = subject.inputs(subject.data.train)[torch.from_numpy(remembered)][: sizes.members]
    outsiders = pool.inputs[pool.members :]
    held = {
        "with the shared weights": subject.network(subject.stranger),
        "with the hospital's whole model": subject.network(subject.last),
    }
    for sees, network in held.items():
        both = [embedded(network, x) for x in (members, outsiders)]
        got, chance, control = (
            Guess(*(likeness(z, entries) for z in both))
            for entries in (memory.embeddings, strange.embeddings, both[0])
        )
        yield Case(
            NAME,
            f"{len(memory)} entries of {len(inside)} images, {sees}",
            "if the memory were shared",
            f"the memory, {sees}; the image",
            got.numbers,
            control.numbers,
            chance.numbers,
            succeeded=got.stands_out,
            control_succeeded=control.stands_out,
            why=OTHER if _as_good(chance, got) else "",
        )


def _as_good(chance: Guess, got: Guess) -> bool:
    return chance.stands_out and chance.area.high >= got.area.low


@torch.no_grad()
def embedded(network: nn.Module, x: Tensor) -> Tensor:
    """Return the embeddings (N, d) of normalised inputs, of length 1, in evaluation mode."""
    network.eval()
    parts = [outputs(network, x[s])[1] for s in evaluation_slices(len(x), 64)]
    return unit(torch.cat([part for part in parts if part is not None]))


def likeness(embeddings: Tensor, entries: Tensor) -> Floats:
    """Return the greatest cosine (N,) of each embedding with the entries of a memory."""
    return np.asarray((embeddings @ entries.T).amax(dim=1).double().numpy())
