"""What the server could do with the weights, tried on validation images in a plain loop.

python benchmarks/server_trials.py --covid-ct PATH --sars-cov-2 PATH [--seeds 3] [--write FILE]

600 steps at each of the two real hospitals, as in configs/studies/heads.toml. Three ways to train:

* ``alone``: each hospital by itself.
* ``rounds``: 12 local steps a round; the mean of all weights but batch norm and heads (the method
  ``heads`` of that study, whose numbers it has).
* ``steps``: every step, one true Adam at the server takes the mean of the gradients.

Each is looked at in four ways: the weights as they are; those with batch-norm statistics
re-estimated on the training images; the average of the weights of all rounds, weighted by 0.8 per
round of age (what is shared only, or all), with re-estimated statistics. ``alone`` has the same
averages, so that averaging is told from federating. Told is the AUC on validation images, mean of
the last five rounds of even number. Test images are not looked at.
"""

import argparse
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from federated.config.schema import Config
from federated.config.study import parse
from federated.data import load_site
from federated.exchange.sharing import WEIGHTS, boundary_of
from federated.learning.batches import Images, round_batches
from federated.learning.compute import Compute
from federated.learning.evaluation import predict, recalibrate
from federated.learning.metrics import auc
from federated.learning.network import heads_of, network_of
from federated.learning.optimizers import learning_rate, make_optimizer
from federated.learning.terms import Term, cross_entropy
from federated.learning.training import train_round
from federated.seeding import torch_generator

CPU = Compute(torch.device("cpu"), bf16=False)
SITES = ("covid-ct", "sars-cov-2")
WAYS = ("alone", "rounds", "steps")
DECAY = 0.8
SETTINGS: dict[str, bool | int | float | str] = {
    "phantom.sites": 0,
    "rounds": 50,
    "train.lr": 5e-4,
    "train.max-steps": 12,
    "train.precision": "fp32",
    "server.weighting": "uniform",
}

COLUMNS = ("way", "seed", "site", "round", "look", "auc")

State = dict[str, Tensor]


class Hospital:
    """A hospital of the loop: its images, its network, and the averages of its weights."""

    def __init__(self, config: Config, name: str, seed: int) -> None:
        self.config, self.name, self.seed = config, name, seed
        data = load_site(config, name)
        self.train, self.val = (
            Images(part.images, torch.tensor(part.labels), config.data.image_size)
            for part in (data.train, data.val)
        )
        self.model = network_of(config, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        boundary = boundary_of(self.model, "backbone", heads_of(config, self.model))
        self.shared = [name.removeprefix(f"{WEIGHTS}/") for name in boundary.shared_names]
        self.average = copy.deepcopy(self.model.state_dict())

    def terms(self, round: int) -> list[Term]:
        """Return what the loss of a round adds up."""
        return [cross_entropy(self.config.train, self.train.labels, CPU.device)]

    def fit(self, round: int) -> None:
        """Train a round of local steps, the optimiser's state begun anew."""
        lr = learning_rate(self.config.train, round, self.config.rounds)
        generator = torch_generator(self.seed, self.name, round, "train")
        train_round(
            self.model,
            round_batches(self.train, self.config.train, generator, CPU.device),
            terms=self.terms(round),
            optimizer=make_optimizer(list(self.model.parameters()), self.config.train, lr),
            clip_norm=self.config.train.clip_norm,
            compute=CPU,
        )

    def remember(self, round: int) -> None:
        """Take this round's weights into the average, whose first rounds weigh as the others."""
        share = (1 - DECAY) / (1 - DECAY**round)
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, share)

    def looks(self, round: int) -> Iterator[tuple[str, float]]:
        """Yield how each kind of weights tells validation images apart."""
        now = self.model.state_dict()
        shared = {name: self.average[name] for name in self.shared}
        yield "as they are", self.area(now)
        yield "re-estimated", self.area(now, round)
        yield "shared averaged", self.area({**now, **shared}, round)
        yield "all averaged", self.area(self.average, round)

    def area(self, state: Mapping[str, Tensor], re_estimated: int = 0) -> float:
        """Return the AUC on validation images of a copy of the network with these weights."""
        model = copy.deepcopy(self.model)
        model.load_state_dict(state)
        if re_estimated:
            recalibrate(
                model,
                self.train,
                train=self.config.train,
                limit=self.config.bn.recalibration_images,
                generator=torch_generator(self.seed, self.name, re_estimated, "recalibrate"),
                compute=CPU,
            )
        return auc(predict(model, self.val, CPU)[0], self.val.labels.numpy())


def meet(hospitals: Sequence[Hospital]) -> None:
    """Give every hospital the mean of what is shared."""
    states = [hospital.model.state_dict() for hospital in hospitals]
    with torch.no_grad():
        for name in hospitals[0].shared:
            mean = torch.stack([state[name].double() for state in states]).mean(dim=0)
            for state in states:
                state[name].copy_(mean)


def fit_together(
    hospitals: Sequence[Hospital], optimizers: Sequence[torch.optim.Optimizer], round: int
) -> None:
    """Take a round of steps, in each of which gradients of what is shared are averaged."""
    streams = [
        round_batches(
            one.train,
            one.config.train,
            torch_generator(one.seed, one.name, round, "train"),
            CPU.device,
        )
        for one in hospitals
    ]
    first = hospitals[0].config
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = learning_rate(first.train, round, first.rounds)
    for batches in zip(*streams, strict=True):
        named = [dict(one.model.named_parameters()) for one in hospitals]
        for one, parameters, (x, labels, _) in zip(hospitals, named, batches, strict=True):
            one.model.train()
            one.model.zero_grad(set_to_none=True)
            logits, _ = one.model(x)
            nn.functional.cross_entropy(logits, labels).backward()
            nn.utils.clip_grad_norm_(list(parameters.values()), first.train.clip_norm)
        for name in hospitals[0].shared:
            mean = torch.stack([parameters[name].grad for parameters in named]).mean(dim=0)
            for parameters in named:
                parameters[name].grad = mean.clone()
        # The same gradients from the same weights: every copy of the server's Adam has its state.
        for optimizer in optimizers:
            optimizer.step()


def course(config: Config, way: str, seed: int) -> Iterator[tuple[str, int, str, float]]:
    """Yield site, round, look and AUC of a run."""
    hospitals = [Hospital(config, name, seed) for name in SITES]
    # Of ``steps``, kept over all rounds; ``fit`` makes its own in each.
    optimizers = [make_optimizer(list(h.model.parameters()), config.train, 0.0) for h in hospitals]
    for round in range(1, config.rounds + 1):
        if way == "steps":
            fit_together(hospitals, optimizers, round)
        else:
            for hospital in hospitals:
                hospital.fit(round)
        if way == "rounds":
            meet(hospitals)
        for hospital in hospitals:
            hospital.remember(round)
            if round > config.rounds - 10 and round % 2 == 0:
                for look, area in hospital.looks(round):
                    yield hospital.name, round, look, area


def told(table: pd.DataFrame, other: tuple[str, str] = ("alone", "as they are")) -> None:
    """Print means by seed, and differences to another way and look, paired by the seeds of both."""
    by_seed = table.groupby(["site", "way", "look", "seed"], sort=False)["auc"].mean()
    own = by_seed.unstack("seed").xs(other, level=("way", "look"))
    print(f"| site | trained | weights | AUC by seed | mean | less {' '.join(other)}, 95 % (t) |")
    print("|---|---|---|---|---|---|")
    for key, row in by_seed.unstack("seed").iterrows():
        site, way, look = cast(tuple[str, str, str], key)
        gain = (row - own.loc[site]).dropna().to_numpy()
        reach = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
        areas = " ".join(f"{area:.3f}"[1:] if np.isfinite(area) else "–" for area in row)
        print(
            f"| {site} | {way} | {look} | {areas} | {row.mean():.3f} | {gain.mean():+.3f} "
            f"± {reach:.3f} |"
        )


def tried(
    purpose: str,
    ways: Sequence[str],
    course: Callable[[Config, str, int], Iterator[tuple[str, int, str, float]]],
) -> pd.DataFrame:
    """Read the command line, and return what all ways it asks for come to with all seeds."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--covid-ct", required=True)
    parser.add_argument("--sars-cov-2", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument(
        "--write", type=Path, help="a CSV that grows run by run, and is gone on with"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    paths = {"data.covid-ct": given.covid_ct, "data.sars-cov-2": given.sars_cov_2}
    config = parse({**SETTINGS, **paths, "methods": "fedbn"}).by_method["fedbn"]
    table = pd.DataFrame(columns=COLUMNS)
    if given.write and given.write.exists():
        table = pd.read_csv(given.write)
    for seed, way in itertools.product(range(given.seeds), given.ways):
        if ((table["seed"] == seed) & (table["way"] == way)).any():
            continue
        rows = [(way, seed, *look) for look in course(config, way, seed)]
        more = pd.DataFrame(rows, columns=COLUMNS)
        table = pd.concat([table, more], ignore_index=True) if len(table) else more
        if given.write:
            table.to_csv(given.write, index=False)
    return table


if __name__ == "__main__":
    told(tried(__doc__.splitlines()[0], WAYS, course))
