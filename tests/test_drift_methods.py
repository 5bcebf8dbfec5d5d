"""FedDyn as laws: FedAvg without its alpha, and the minimum that FedAvg misses."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from test_laws import assert_same_bits
from test_methods import PLAIN, toy_round, weights
from torch import Tensor, nn

from federated.config.training import Train
from federated.learning.terms import Proximal, Step, Term
from federated.methods import feddyn
from federated.methods.seam import ServerRound, SiteRound


@dataclass(frozen=True)
class Quadratic:
    """A loss that knows no image: curvature / 2 (w - minimum)^2 of every weight."""

    weight_of: nn.Module
    curvature: float
    minimum: float
    name: str = "quadratic"
    weight: float = 1.0

    def __call__(self, step: Step) -> Tensor:
        squares = [((p - self.minimum) ** 2).sum() for p in self.weight_of.parameters()]
        return 0.5 * self.curvature * torch.stack(squares).sum()


SITES = ((1.0, 0.0), (0.2, 6.0))
"""Curvature and minimum of two hospitals' losses; that of the sum is at (0.2 x 6) / 1.2 = 1."""


def quadratic_round(sent: dict[str, Tensor], site: int, alpha: float, kept: object) -> SiteRound:
    """Return a round of 40 steps of gradient descent from what was sent."""
    model = nn.Linear(3, 2)
    model.load_state_dict({name.removeprefix("weights/"): t for name, t in sent.items()})
    terms: list[Term] = [Quadratic(model, *SITES[site])]
    if alpha:
        terms.append(Proximal(alpha, list(model.parameters())))
    round = toy_round(model, 40, sent=sent, kept=kept)
    train = replace(round.config.train, proximal_mu=alpha)
    return replace(round, terms=terms, config=replace(round.config, train=train))


def federated(rounds: int, alpha: float) -> tuple[float, list[Tensor]]:
    """Return where a federation of both hospitals ends, and the gradients that they keep."""
    shared = {"weights/weight": np.full((2, 3), 9.0, np.float32)}
    shared["weights/bias"] = np.full(2, 9.0, np.float32)
    kept: list[dict[str, Tensor]] = [{}, {}]
    memory: dict[str, np.ndarray] = {}
    for _ in range(rounds):
        sent = {name: torch.from_numpy(array) for name, array in shared.items()}
        trained = []
        for site in (0, 1):
            round = quadratic_round(sent, site, alpha, kept[site])
            kept[site] = dict(feddyn.site(round).kept)
            trained.append({f"weights/{n}": t.numpy() for n, t in round.model.state_dict().items()})
        mean = {name: (trained[0][name] + trained[1][name]) / 2 for name in shared}
        made = feddyn.server(ServerRound(shared, mean, 1.0, round.config, memory))
        memory = {name: array for name, array in made.items() if name.startswith("memory/")}
        shared = {n: np.asarray(made.get(n, mean[n]), np.float32) for n in shared}
    return float(shared["weights/weight"].mean()), [k["weight"] for k in kept]


def test_feddyn_finds_the_minimum_of_the_sum_and_fedavg_does_not() -> None:
    place, (one, other) = federated(60, alpha=0.5)
    assert abs(place - 1.0) < 1e-3
    # What each keeps is its own gradient there, 1 (1 - 0) and 0.2 (1 - 6).
    torch.testing.assert_close(one, torch.full((2, 3), 1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(other, torch.full((2, 3), -1.0), atol=1e-3, rtol=0)
    assert abs(federated(60, alpha=0.0)[0] - 3.0) < 0.1


def test_the_servers_part_of_feddyn_by_hand() -> None:
    """With share 1/2: total = 0.25 + 0.5 (3 - 1) = 1.25, and w = 3 + 1.25; a statistic is left."""
    before = {"weights/w": np.ones(1, np.float32), "weights/n": np.ones(1, np.float32)}
    mean = {"weights/w": np.array([3.0]), "weights/n": np.array([7.0])}
    config = replace(toy_round(nn.Linear(3, 2), 1).config, train=Train(proximal_mu=0.1))
    memory = {"memory/weights/w": np.array([0.25])}
    made = feddyn.server(ServerRound(before, mean, 0.5, config, memory, {"weights/n"}))
    assert {name: array.tolist() for name, array in made.items()} == {
        "weights/w": [4.25],
        "memory/weights/w": [1.25],
    }


def test_feddyn_without_alpha_is_fedavg_to_the_bit(run_tiny) -> None:
    sgd = {
        f"method__{m}__train__{key}": v for m in ("fedavg", "feddyn") for key, v in PLAIN.items()
    }
    run = run_tiny(methods="fedavg,feddyn", method__feddyn__train__proximal_mu=0, **sgd)
    assert_same_bits(weights(run, "fedavg", 2), weights(run, "feddyn", 2))


def test_the_server_remembers_what_feddyn_keeps_and_sends_it_to_nobody(run_tiny) -> None:
    run = run_tiny(methods="feddyn", rounds=3)
    from safetensors.numpy import load_file

    saved = load_file(run.folder / "feddyn" / "seed-0" / "round-000003.safetensors")
    kept = [name for name in saved if name.startswith("optimizer/rule/memory/weights/")]
    assert kept and not [name for name in saved if name.startswith("memory/")]
    assert any(np.abs(saved[name]).max() > 0 for name in kept)
