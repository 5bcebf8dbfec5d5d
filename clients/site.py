"""A hospital: its images, its network, its boundary and its vault, opened for one message."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clients.private_folder import private_folder
from clients.resident import Tensors, resident
from clients.vault import Vault
from federated.config.rollout import Calendar
from federated.config.schema import Config
from federated.data import load_site, site_names
from federated.data.growing import first_images, with_flipped_labels, with_training_images
from federated.data.replaced import replaced_scanner
from federated.data.site import SiteData
from federated.exchange.sharing import Boundary, constant_part, group, private_part
from federated.exchange.wire import Order
from federated.learning.batches import Images
from federated.learning.compute import Compute, device_for, uses_bf16
from federated.rollout.scenario import FEWEST_IMAGES, Hospital, inside, scenario_of
from federated.runs.folder import SitesFolder
from federated.seeding import torch_generator


@dataclass(frozen=True)
class Site:
    """Everything a message needs of one hospital under one method and seed.

    Attributes:
        name: The hospital's name.
        config: The method's configuration.
        seed: The run's seed.
        data: Its images.
        model: The process's resident network; whoever uses it loads a whole state first.
        tensors: That network's state itself; None where it cannot be told once for all messages.
        initial: Its state at round 0, the same at every site.
        boundary: What may leave.
        vault: Where its private state lives.
        compute: Device and precision.
        present: (n,) positions of its training images among all that it will ever have, ascending;
            None: all of them are there.
    """

    name: str
    config: Config
    seed: int
    data: SiteData
    model: nn.Module
    tensors: Tensors
    initial: Mapping[str, Tensor]
    boundary: Boundary
    vault: Vault
    compute: Compute
    present: npt.NDArray[np.int64] | None = None

    @property
    def hospital(self) -> Hospital:
        """Its part in the rollout; one that is always there where no scenario tells of it."""
        return _hospitals(self.config).get(self.name) or _always_there(self.name)

    @property
    def can_train(self) -> bool:
        """Whether it has the images that batch statistics need."""
        return len(self.data.train) >= FEWEST_IMAGES

    def at(self, week: float) -> "Site":
        """Return the site with the images that it has in ``week``, through its scanner of then.

        While it sends garbage of that kind, the labels of its training images are flipped.
        """
        hospital, data, present = self.hospital, self.data, None
        if week >= hospital.new_scanner:
            shift = hospital.calendar.new_scanner_shift
            data = replaced_scanner(self.config, self.name, shift)
        in_all = len(data.train)
        count = hospital.images(week, in_all)
        if count < in_all:
            present = first_images(in_all, count, self.name, self.config.data.split_seed)
            data = with_training_images(data, present)
        if hospital.calendar.garbage_kind == "label-flip" and inside(hospital.garbage, week):
            data = with_flipped_labels(data, self.config.data.class_count)
        return replace(self, data=data, present=present)

    def images(self, split: str) -> Images:
        """Return a split as training sees it."""
        part = self.data.split(split)
        return Images(part.images, torch.tensor(part.labels), self.config.data.image_size)

    def generator(self, round: int, purpose: str) -> torch.Generator:
        """Return the generator of this site for one purpose of one round."""
        return torch_generator(self.seed, self.name, round, purpose)


@lru_cache(maxsize=16)
def _hospitals(config: Config) -> Mapping[str, Hospital]:
    """Return the hospitals of the scenario; none, and without a look at the data, without one."""
    if not config.calendars:
        return {}
    return scenario_of(config.rollout, config.calendars, site_names(config)).hospitals


def _always_there(name: str) -> Hospital:
    return Hospital(name, Calendar(), 0.0, math.inf, (), (), math.inf)


def open_vault(root: Path, site: str, order: Order, *, sync: bool = True) -> Vault:
    """Return where a site keeps what is private under an order's run, method and seed.

    Args:
        root: Of the node's vaults.
        site: Whose.
        order: Names the run, the method and the seed.
        sync: As for ``Vault``.
    """
    folder = SitesFolder(root).vault(site, order.method, order.seed)
    private_folder(root, *folder.relative_to(root).parts)
    whose = {"run": order.run, "site": site, "method": order.method, "seed": order.seed}
    return Vault(folder, whose, sync=sync)


cached_site = lru_cache(maxsize=1024)(load_site)
"""Images lie in the page cache, not here; so a thousand hospitals cost little."""


def open_site(config: Config, name: str, *, seed: int, vault: Vault, alone: bool = False) -> Site:
    """Return the site ``name``, its data from the cache and its network resident.

    On a node that is ``alone`` with its data these are the site's, whatever their folder is called.
    Sets torch's thread number to ``engine.threads``, one where no run has planned it: the bits
    depend on it.
    """
    threads = config.engine.threads or 1
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    device = device_for(config.engine.gpus)
    kept = resident(config, seed, device)
    return Site(
        name=name,
        config=config,
        seed=seed,
        data=cached_site(config, name, alone=alone),
        model=kept.network,
        tensors=kept.tensors,
        initial=kept.initial,
        boundary=kept.boundary,
        vault=vault,
        compute=Compute(device, uses_bf16(config.train.precision, device)),
    )


def private_state(site: Site, vaulted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all that a site joins to what is sent.

    Its constants, and its private tensors: from its vault, or the initial ones at first.
    """
    private = group(vaulted, "private") or private_part(site.initial, site.boundary)
    return {**constant_part(site.initial, site.boundary), **private}
