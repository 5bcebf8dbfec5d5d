"""APFL: a mixture of the hospital's own model and the federation's (Deng, Kamani and Mahdavi 2020).

arXiv 2003.13461, algorithm 1. A site trains the server's model w as FedAvg does, and beside it a
model v of its own, at the mixture of both, on the same batches:

    each step:  w <- w - lr grad f(w)
                v <- v - lr grad_v f(alpha v + (1 - alpha) w)
    each round: alpha <- alpha - rate lr <v - w, grad f(alpha v + (1 - alpha) w)>

in its first step, alpha kept within 0 and 1. The paper writes plain SGD; v has an optimiser of its
own of the configured kind, and its gradient is clipped by itself. A site uses alpha v + (1 - alpha)
w with the w that arrives; batch-norm statistics are those of the mixture. v, alpha and these
statistics never leave. The reported loss is that of w plus that of the mixture.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from federated.exchange.norms import tensors_of
from federated.exchange.sharing import State, group
from federated.learning.compute import Compute, autocast
from federated.learning.evaluation import outputs
from federated.learning.terms import Step, Term
from federated.methods.seam import Arrived, Outcome, Rules, SiteRound, copied

OWN, BUFFERS, ALPHA = "own", "buffers", "alpha"


@dataclass(frozen=True)
class Mixture:
    """The loss of alpha v + (1 - alpha) w, which has gradients for v and alpha and none for w.

    Attributes:
        own: v, whose buffers are the mixture's.
        shared: w.
        alpha: Scalar.
        loss: What is lost by the mixture's logits.
        compute: Device and precision.
    """

    own: nn.Module
    shared: nn.Module
    alpha: Tensor
    loss: Term
    compute: Compute
    name: ClassVar[str] = "mixture"
    weight: ClassVar[float] = 1.0

    def __call__(self, step: Step) -> Tensor:
        """Return the mean over the batch."""
        w, v = (dict(model.named_parameters()) for model in (self.shared, self.own))
        mixed = {n: self.alpha * v[n] + (1 - self.alpha) * w[n].detach() for n in v}

        def mixture(x: Any) -> Any:
            return functional_call(self.own, mixed, (x,))

        with autocast(self.compute.device, bf16=self.compute.bf16):
            logits, embedding = outputs(mixture, step.x)
        return self.loss(replace(step, logits=logits, embedding=embedding))


def site(round: SiteRound, *, start: float, rate: float) -> Outcome:
    """Train the server's model, and at the mixture the site's own, step by step.

    Args:
        round: The round.
        start: alpha at the beginning, the share of v.
        rate: Learning rate of alpha over that of the weights; 0: alpha stays.
    """
    own, device = copy.deepcopy(round.model), round.compute.device
    if round.kept:
        own.load_state_dict({**group(round.kept, OWN), **group(round.kept, BUFFERS)})
    before = round.kept.get(ALPHA, torch.tensor(start))
    alpha = before.clone().to(device).requires_grad_()
    mixture = Mixture(own.train(), round.model, alpha, round.terms[0], round.compute)
    adjust = stepping(round, own, alpha, rate)
    trained = round.fit(terms=[*round.terms, mixture], adjust=adjust)
    return Outcome(trained, kept={**parts_of(own), ALPHA: alpha.detach().cpu().clone()})


def parts_of(own: nn.Module) -> State:
    """Return copies of what a network learns, and of the rest, in a group each."""
    learnt = {name for name, t in tensors_of(own).items() if isinstance(t, nn.Parameter)}
    state = copied(own.state_dict())
    return {f"{OWN if name in learnt else BUFFERS}/{name}": t for name, t in state.items()}


def stepping(round: SiteRound, own: nn.Module, alpha: Tensor, rate: float) -> Callable[[], None]:
    """Return what moves v and, the first time that it is called, alpha by their gradients."""
    move, rates = round.stepping(list(own.parameters())), iter([rate * round.lr])

    def step() -> None:
        move()
        with torch.no_grad():
            if alpha.grad is not None:
                alpha.sub_(next(rates, 0.0) * alpha.grad).clamp_(0, 1)
        alpha.grad = None

    return step


def mixed_network(arrived: Arrived) -> State:
    """Return alpha v + (1 - alpha) w of what training moves, and the mixture's own buffers."""
    alpha = arrived.kept[ALPHA]
    mixed = {
        name: alpha * v + (1 - alpha) * arrived.state[name].cpu()
        for name, v in group(arrived.kept, OWN).items()
    }
    return {**mixed, **group(arrived.kept, BUFFERS)}


def rules_with(start: float = 0.5, rate: float = 1.0) -> Rules:
    """Return APFL with another alpha at the beginning, or another learning rate of it.

    A method of your own may name what this returns as its ``code``.
    """
    site_rule = partial(site, start=start, rate=rate)
    return Rules(site=site_rule, personal=mixed_network, terms=(Mixture.name,))


rules = rules_with()
