"""Who is attacked: a hospital of a finished run, with what the run's folder holds of it."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from federated.config.schema import Config
from federated.data import load_site
from federated.data.origins import phantom_names
from federated.data.site import SiteData, Split
from federated.errors import UserError
from federated.exchange.norms import norms_of
from federated.exchange.sharing import Boundary, group
from federated.learning.batches import Images
from federated.learning.compute import Compute
from federated.learning.memory import ContrastiveMemory
from federated.learning.network import network_of, watched
from federated.learning.normalising import IMAGENET_MEAN, IMAGENET_STD
from federated.learning.views import evaluation_views, round_view
from federated.methods import configured_boundary
from federated.runs.reading import Run
from federated.storage import read_tensors
from federated.unseen.models import State, check_names, last_states, network_with, site_state

CPU = Compute(torch.device("cpu"), bf16=False)
"""An audit computes in float32: it shall say the same on every machine."""


@dataclass(frozen=True)
class Subject:
    """A hospital under one method and seed of a run.

    Attributes:
        run: Finished, of a simulation.
        method: Whose updates are attacked.
        seed: Of the run.
        site: The hospital.
        data: Its images.
        last: Its model after the last round: the server's weights, what is private its own.
        stranger: The server's weights with what is private of another hospital: all that the
            server, or another hospital, can make a model of.
        final: The personal model that the hospital uses in the end.
    """

    run: Run
    method: str
    seed: int
    site: str
    data: SiteData
    last: State
    stranger: State
    final: State

    @property
    def config(self) -> Config:
        """Of the method."""
        return self.run.study.by_method[self.method]

    @property
    def is_phantom(self) -> bool:
        """Whether its images are synthetic and may be shown."""
        return self.site in phantom_names(self.run.study.common)

    @cached_property
    def boundary(self) -> Boundary:
        """What its updates hold."""
        return configured_boundary(self.config, self.network(self.last))

    @cached_property
    def visible(self) -> frozenset[str]:
        """The kinds of tensors that the method shares: weights, and what of batch norm."""
        shared, kinds = set(self.boundary.shared_names), set[str]()
        for kind, names in self.kinds.items():
            kinds |= {kind} if shared & names else set()
        return frozenset(kinds)

    @cached_property
    def kinds(self) -> dict[str, frozenset[str]]:
        """Names of the network's tensors by kind: weights, parameters and statistics of norms.

        Of the weights only those that the method shares; heads may be private.
        """
        network = self.network(self.last)
        norms = norms_of(network, watched(self.config))
        shared = set(self.boundary.shared_names) - norms.affine - norms.statistics
        return {
            "weights": frozenset(shared),
            "parameters": norms.affine,
            "statistics": norms.statistics,
        }

    def network(self, state: State) -> nn.Module:
        """Return the method's network with a whole state."""
        return network_with(self.config, self.seed, state)

    def fresh(self) -> nn.Module:
        """Return the network as the run begins with it."""
        return network_of(self.config, self.seed)

    def images(self, split: Split) -> Images:
        """Return a split as training reads it."""
        labels = torch.from_numpy(split.labels.copy())
        return Images(split.images, labels, self.config.data.image_size)

    def inputs(self, split: Split) -> Tensor:
        """Return all images of a split as the network's normalised input, (N, 3, S, S)."""
        pixels = torch.from_numpy(split.images.copy())
        views = evaluation_views(pixels, self.config.data.image_size, round_view(self.config))
        return next(iter(views)).contiguous()

    def greys(self, inputs: Tensor) -> Tensor:
        """Return greys (N, S, S) from 0 to 1 of inputs (N, 3, S, S)."""
        greys = (inputs * inputs.new_tensor(IMAGENET_STD)[:, None, None]).mean(dim=1)
        return (greys + sum(IMAGENET_MEAN) / 3).clamp(0, 1)

    def memory(self, site: str = "") -> ContrastiveMemory | None:
        """Return the contrastive memory in the vault of a site, None if it has none."""
        vault = self.run.files.vault(site or self.site, self.method, self.seed)
        newest = max(vault.glob("round-*.safetensors"))
        state = group(read_tensors(newest)[0], "memory")
        size = self.config.contrast.memory_size
        return ContrastiveMemory.from_state(size, state) if state and size else None


def subject_of(run: Run, *, method: str, seed: int, site: str) -> Subject:
    """Return who is to be attacked.

    Raises:
        UserError: the run has not ended, or the folder lacks what an attack needs.
    """
    if not run.has_ended:
        raise UserError(
            f"{run.folder} has not ended, and an audit is of a finished run; go on with: consilium "
            f"resume {run.folder}"
        )
    check_names(run, site, method, seed)
    config = run.study.by_method[method]
    if config.train.pooled or config.sharing.policy == "nothing":
        raise UserError(
            f"{method} sends no update that could be attacked; name another with --method."
        )
    if config.privacy.unit == "record":
        raise UserError(
            f"{method} trains by DP-SGD, which the audit does not repeat; its promise is the "
            "epsilon of the run. Name another with --method."
        )
    if not run.files.sites.vaults(method, seed):
        raise UserError(
            f"{run.files.sites.path} holds no vaults of {method}, seed {seed}: an audit needs the "
            "hospitals' own side, which the folder of a simulation has until it is taken away."
            + run.elsewhere
        )
    states = last_states(run, method, seed)
    if site not in states or len(states) < 2:
        raise UserError(
            f"{run.files.sites.path} holds the vaults of {', '.join(states)}: an "
            f"audit needs that of {site} and another hospital's, as a simulation's folder has them."
        )
    stranger = next(state for name, state in states.items() if name != site)
    return Subject(
        run=run,
        method=method,
        seed=seed,
        site=site,
        data=load_site(run.study.common, site),
        last=states[site],
        stranger=stranger,
        final=site_state(run, site, method, seed, "final"),
    )
