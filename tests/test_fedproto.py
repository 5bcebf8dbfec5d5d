"""What the egress gate refuses: FedProto, whose hospitals send the mean embedding of each class.

Tan et al., AAAI 2022, arXiv 2105.00243. It is no method of the house: an embedding is patient data,
and the prototype of a class with one image is that image's embedding. Here it is written as a
method of a user's own, once as it would be listed and once as it would be smuggled.
"""

from dataclasses import replace

import pytest
import torch
from test_messages import Tap, load_with
from test_methods import toy_round
from torch import nn

from clients.egress import allowed_schema
from federated.commands.policy import policy_for
from federated.config import Method
from federated.config.schema import Config
from federated.config.study import parse
from federated.engine import run
from federated.exchange.policy import PolicyError, parse_policy
from federated.exchange.policy_file import policy_text
from federated.exchange.sharing import Boundary, State
from federated.learning.evaluation import outputs
from federated.methods import schema_of
from federated.methods.seam import Arrays, Outcome, Rules, ServerRound, SiteRound

EMBEDDING = 128


@torch.no_grad()
def prototypes(round: SiteRound) -> State:
    """Return the mean embedding of each class over the round's images."""
    round.model.eval()
    batches = list(round.batches())
    z = torch.cat([outputs(round.model, x)[1] for x, _, _ in batches])
    labels = torch.cat([labels for _, labels, _ in batches])
    means = [z[labels == k].mean(0) if (labels == k).any() else z[0] * 0 for k in (0, 1)]
    return {"prototypes/classes": torch.stack(means).cpu()}


def site(round: SiteRound) -> Outcome:
    trained = round.fit()
    return Outcome(trained, released=prototypes(round))


def groups(model: nn.Module, boundary: Boundary, config: Config) -> dict[str, State]:
    return {"prototypes": {"classes": torch.zeros(2, EMBEDDING)}}


def server(round: ServerRound) -> Arrays:
    return {"prototypes/classes": round.mean["prototypes/classes"]}


listed_rules = Rules(site=site, groups=groups, server=server)
smuggled_rules = Rules(site=site)
listed = Method({"code": "test_fedproto:listed_rules", "sharing.policy": "conv"})
smuggled = Method({"code": "test_fedproto:smuggled_rules", "sharing.policy": "conv"})


def config_of(method: str, tiny: dict[str, str]) -> Config:
    study = parse({**tiny, "methods": method})
    return study.by_method[study.common.methods[0]]


def test_a_hospital_whose_policy_does_not_list_prototypes_takes_no_part(tiny) -> None:
    study = parse(tiny(methods="fedbn"))
    policy = policy_for(study, digits=4, minimum=11, mantissa_bits=0, any_code=True)
    policy = parse_policy(policy_text(policy), "the policy")
    allowed_schema(policy, study.by_method["fedbn"])
    asked = config_of("test_fedproto:listed", tiny())
    assert "prototypes/classes" in schema_of(asked).by_name  # nobody can overlook it
    with pytest.raises(PolicyError, match="asks for prototypes/classes, which the policy does not"):
        allowed_schema(policy, asked)


def test_prototypes_that_are_not_listed_are_in_no_message(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = Tap()
    monkeypatch.setattr("federated.engine.running.load_app", load_with(tap))
    run(tiny(methods="test_fedproto:smuggled", phantom__sites=2, rounds=1))
    records = {name for m in (*tap.up, *tap.down) for name in m.content.array_records}
    assert records == {"weights"}


def test_the_prototype_of_one_image_is_its_embedding() -> None:
    """Why: the contrastive memory holds such rows, and never leaves."""

    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            z = self.body(x)
            return self.head(z), z

    model, round = Embedding(), toy_round(nn.Linear(3, 2), 1)
    [batch] = round.batches()
    one = batch._replace(x=batch.x[:3], labels=torch.tensor([0, 1, 1]), ids=torch.arange(3))
    told = prototypes(replace(round, model=model, batches=lambda: iter([one])))
    assert torch.equal(told["prototypes/classes"][0], model(one.x)[1][0])
