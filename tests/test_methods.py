"""Methods that bring code, as laws: what they must be equal to, and numbers by hand."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from test_laws import assert_same_bits, numbers
from torch import nn

from clients.pooled import PerSite, tie
from federated.config.schema import Config
from federated.config.study import parse
from federated.config.training import Personalise, Train
from federated.errors import UserError
from federated.exchange.sharing import as_group, boundary_of, group
from federated.learning.batches import Batch
from federated.learning.compute import Compute
from federated.learning.models.blocks import StandardConv2d
from federated.learning.optimizers import make_optimizer
from federated.learning.terms import CrossEntropy
from federated.methods import fedbabu, fednova, fedrep, fixbn, parting, rules_of, scaffold
from federated.methods.seam import ServerRound, SiteRound
from federated.runs.reading import Run

PLAIN = {"optimizer": "sgd", "momentum": 0, "lr": 0.05, "weight_decay": 0, "clip_norm": 0}
SGD = {f"method__{m}__train__{key}": v for m in ("fedavg", "scaffold") for key, v in PLAIN.items()}
"""What the formulas of SCAFFOLD are written for."""


def weights(run: Run, method: str, round: int) -> dict[str, np.ndarray]:
    folder = run.folder / method / "seed-0"
    return group(load_file(folder / f"round-{round:06d}.safetensors"), "weights")


def toy_round(model: nn.Module, steps: int, **more: object) -> SiteRound:
    """Return a round of plain SGD on made-up batches, with learning rate 0.5."""
    train = Train(optimizer="sgd", momentum=0, weight_decay=0, clip_norm=0)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps, 4, 3, generator=generator)
    labels = torch.tensor([0, 1, 1, 0])

    facts: dict[str, object] = {"sent": {}, "kept": {}, **more}
    return SiteRound(
        model=model,
        config=Config(train=train),
        number=1,
        lr=0.5,
        terms=[CrossEntropy()],
        optimizer=make_optimizer(list(model.parameters()), train, 0.5),
        batches=lambda: iter([Batch(part, labels, torch.arange(4)) for part in x]),
        compute=Compute(torch.device("cpu"), bf16=False),
        seed=1,
        **facts,
    )


def zeros_of(model: nn.Module) -> dict[str, torch.Tensor]:
    groups = scaffold.groups(model, boundary_of(model, "all"), Config())
    return as_group(groups["control"], "control")


def test_after_one_step_a_control_variate_is_the_gradient() -> None:
    """c_i+ = c_i - c + (x - y) / lr with y = x - lr (g - c_i + c), so c_i+ = g whatever c, c_i."""
    torch.manual_seed(3)
    model = nn.Linear(3, 2)
    reference = copy.deepcopy(model)
    [(x, labels, _)] = toy_round(model, 1).batches()
    nn.functional.cross_entropy(reference(x), labels).backward()
    sent = {name: torch.randn_like(tensor) for name, tensor in zeros_of(model).items()}
    kept = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    outcome = scaffold.site(toy_round(model, 1, sent=sent, kept=kept))
    for name, p in reference.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(outcome.kept[name], p.grad, rtol=1e-5, atol=1e-6)
        change = outcome.released[f"control/{name}"]
        torch.testing.assert_close(change, p.grad - kept[name], rtol=1e-5, atol=1e-6)


def test_scaffold_with_controls_of_zero_trains_as_fedavg_to_the_bit() -> None:
    torch.manual_seed(4)
    plain = nn.Linear(3, 2)
    controlled = copy.deepcopy(plain)
    trained = toy_round(plain, 5).fit()
    outcome = scaffold.site(toy_round(controlled, 5, sent=zeros_of(controlled)))
    assert outcome.trained == trained
    for p, q in zip(plain.parameters(), controlled.parameters(), strict=True):
        assert torch.equal(p, q)


def test_the_server_moves_its_control_by_the_share_of_the_mean_change() -> None:
    before = {"control/w": np.array([1.0, 2.0], np.float32), "weights/w": np.zeros(2, np.float32)}
    mean = {"control/w": np.array([4.0, -4.0]), "weights/w": np.ones(2)}
    renewed = scaffold.server(ServerRound(before, mean, share=0.25))
    assert renewed.keys() == {"control/w"} and renewed["control/w"].dtype == np.float32
    assert renewed["control/w"].tolist() == [2.0, 1.0]


def test_scaffold_begins_as_fedavg_and_its_controls_sum_to_the_servers(run_tiny) -> None:
    run = run_tiny(methods="fedavg,scaffold", rounds=3, **SGD)
    first = run_tiny("first", methods="fedavg,scaffold", rounds=1, **SGD)
    assert_same_bits(weights(first, "fedavg", 1), weights(first, "scaffold", 1))
    ours, theirs = weights(run, "scaffold", 3), weights(run, "fedavg", 3)
    assert any(ours[name].tobytes() != theirs[name].tobytes() for name in ours)

    folder = run.folder / "scaffold" / "seed-0"
    server = group(load_file(folder / "round-000003.safetensors"), "control")
    counts = run.metrics.query("split == 'train' and metric == 'steps' and method == 'scaffold'")
    images = counts.drop_duplicates("site").set_index("site")["num_examples"]
    sites = {
        site: group(
            load_file(run.folder / f"sites/{site}/scaffold/seed-0/round-000003.safetensors"),
            "method",
        )
        for site in images.index
    }
    assert server and len(sites) == 3
    for name, c in server.items():
        mean = sum(images[site] * kept[name].astype(float) for site, kept in sites.items())
        np.testing.assert_allclose(c, mean / images.sum(), rtol=1e-4, atol=1e-6)
    assert max(np.abs(c).max() for c in server.values()) > 0.01


def test_ditto_without_a_pull_is_local_training_beside_fedavg(run_tiny) -> None:
    run = run_tiny(methods="local,fedavg,ditto", method__ditto__train__proximal_mu=0)
    assert_same_bits(weights(run, "fedavg", 2), weights(run, "ditto", 2))
    # What is chosen at the end is another matter: there ditto is offered the hospital's own model.
    expected, found = (
        rows[rows["model"].isin(["current", "kept"])].reset_index(drop=True)
        for rows in (numbers(run, "local"), numbers(run, "ditto"))
    )
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_dittos_pull_moves_the_personal_model_and_not_the_federations(run_tiny) -> None:
    run = run_tiny(methods="local,fedavg,ditto", method__ditto__train__proximal_mu=10)
    assert_same_bits(weights(run, "fedavg", 2), weights(run, "ditto", 2))
    personal = {}
    for method in ("local", "ditto"):
        vault = run.folder / "sites" / "phantom-1" / method / "seed-0"
        part = "private" if method == "local" else "method/personal"
        personal[method] = group(load_file(vault / "round-000002.safetensors"), part)
    start = weights(run, "fedavg", 2)

    def distance(state: dict[str, np.ndarray]) -> float:
        floats = [name for name in start if start[name].dtype == np.float32 and "norm" not in name]
        return sum(float(np.square(state[n] - start[n]).sum()) for n in floats)

    assert distance(personal["ditto"]) < distance(personal["local"])


def test_hospitals_that_part_leave_the_federation_as_it_was(run_tiny) -> None:
    """The common rounds have the bits of the federation's, and the last weights are theirs."""
    parted = run_tiny("parted", methods="fedavg", rounds=3, personalise__share=0.4)
    whole = run_tiny("whole", methods="fedavg", rounds=3)
    assert_same_bits(weights(whole, "fedavg", 2), weights(parted, "fedavg", 2))
    assert_same_bits(weights(parted, "fedavg", 2), weights(parted, "fedavg", 3))
    vault = "sites/phantom-1/fedavg/seed-0/round-000003.safetensors"
    own = group(load_file(parted.folder / vault), "method/personal")
    common = weights(parted, "fedavg", 3)
    assert any(own[name].tobytes() != common[name].tobytes() for name in common)


def test_one_hospital_that_parts_from_nobody_is_alone_to_the_bit(run_tiny) -> None:
    """With one learning rate throughout, and an optimiser that starts anew each round anyway."""
    settings = {"train__schedule": "constant", "personalise__restart": 1}
    run = run_tiny(methods="fedbn,silobn", phantom__sites=1, personalise__share=0.5, **settings)
    expected, found = numbers(run, "fedbn"), numbers(run, "silobn")
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    alone = run_tiny("alone", methods="local", phantom__sites=1, **settings)
    pd.testing.assert_frame_equal(numbers(alone, "local"), expected, check_exact=True)


@pytest.mark.parametrize(
    ("share", "rounds", "alone"),
    [(0.24, 50, 12), (0.95, 2, 1), (0.24, 2, 0), (0.3, 10, 3), (0, 9, 0)],
)
def test_the_share_of_rounds_alone_leaves_one_together(
    share: float, rounds: int, alone: int
) -> None:
    config = Config(rounds=rounds, personalise=Personalise(share=share))
    assert parting.rounds_alone(config) == alone


def test_alone_the_learning_rate_falls_by_a_cosine_of_its_own() -> None:
    part = Personalise(share=0.4, restart=0.5)
    config = Config(rounds=10, train=Train(lr=0.4), personalise=part)
    found = [parting.lr_alone(config, number) for number in (1, 2, 3, 4)]
    assert found == pytest.approx([0.2, 0.1 * (1 + 0.5**0.5), 0.1, 0.1 * (1 - 0.5**0.5)])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"methods": "ditto", "personalise.share": 0.3}, "a rule of its own"),
        ({"methods": "pooled", "personalise.share": 0.3}, "a rule of its own"),
    ],
)
def test_who_cannot_part_is_told_why(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(settings)


def test_the_personal_model_never_leaves(run_tiny) -> None:
    run = run_tiny(methods="ditto")
    kept = load_file(run.folder / "sites/phantom-1/ditto/seed-0/round-000002.safetensors")
    personal = group(kept, "method/personal").values()
    secrets = [t.tobytes() for t in personal if len(np.unique(t)) > 8]
    assert len(secrets) > 3
    for path in run.folder.rglob("*"):
        if path.is_file() and "sites" not in path.relative_to(run.folder).parts:
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path


def body_and_head() -> nn.Sequential:
    """Return two linear layers, of which ``1`` is the head."""
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def arrived_body(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what a server sends of the network: its body."""
    return {f"weights/{n}": t for n, t in model.state_dict().items() if n.startswith("0.")}


def by_hand(model: nn.Sequential, *layers: nn.Module) -> list[torch.Tensor]:
    """Return the weights after SGD passes over the toy batches, each of which moves one layer."""
    for layer in layers:
        for x, labels, _ in toy_round(model, 3).batches():
            loss = nn.functional.cross_entropy(model(x), labels)
            gradients = torch.autograd.grad(loss, list(layer.parameters()))
            with torch.no_grad():
                for p, gradient in zip(layer.parameters(), gradients, strict=True):
                    p.sub_(0.5 * gradient)
    return list(model.parameters())


def test_fedrep_moves_the_head_and_then_the_body() -> None:
    model, reference = body_and_head(), body_and_head()
    outcome = fedrep.site(toy_round(model, 3, sent=arrived_body(model)))
    assert (outcome.trained.steps, outcome.trained.examples) == (6, 24)
    expected = by_hand(reference, reference[1], reference[0])
    for p, q in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(p, q)


def test_fedbabu_moves_the_body_alone() -> None:
    model, reference = body_and_head(), body_and_head()
    outcome = fedbabu.site(toy_round(model, 3, sent=arrived_body(model)))
    assert outcome.trained.steps == 3
    assert outcome.trained.examples == 12
    expected = by_hand(reference, reference[0])
    for p, q in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(p, q)


def test_fednova_by_hand() -> None:
    """Two sites of equal weight move w = 1 by 2 in 1 step and by 9 in 3: mean step 2.5, twice."""
    before = {
        "weights/w": np.ones(1, np.float32),
        "weights/n": np.array([5.0]),
        "steps/tau": np.zeros(1, np.float32),
        "steps/of/w": np.zeros(0, np.float32),
    }
    # Released: 1 + 2 / 1 = 3 and 1 + 9 / 3 = 4. A statistic, n, is averaged by who averages all.
    mean = {**before, "weights/w": np.array([3.5]), "steps/tau": np.array([2.0])}
    renewed = fednova.server(ServerRound(before, mean, share=1.0))
    assert renewed["weights/w"].tolist() == [6.0] and "weights/n" not in renewed
    assert renewed["steps/tau"].tolist() == [2.0]


def test_fednova_divides_a_sites_change_by_its_steps() -> None:
    torch.manual_seed(6)
    model, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    plain.load_state_dict(model.state_dict())
    arrived = copy.deepcopy(model)
    toy_round(plain, 4).fit()
    sent = as_group(fednova.groups(model, boundary_of(model, "all"), Config())["steps"], "steps")
    outcome = fednova.site(toy_round(model, 4, sent=sent))
    assert outcome.released.keys() == sent.keys() and outcome.released["steps/tau"] == 4
    pairs = zip(model.parameters(), plain.parameters(), arrived.parameters(), strict=True)
    for p, trained, x in pairs:
        torch.testing.assert_close(p, x + (trained - x) / 4)


def test_fednova_with_equal_steps_is_fedavg(run_tiny) -> None:
    # Small steps: at 0.05 a maximum that two pixels share falls to the other one in round 2.
    small = {**PLAIN, "lr": 0.01}
    sgd = {f"method__{m}__train__{k}": v for m in ("fedavg", "fednova") for k, v in small.items()}
    run = run_tiny(methods="fedavg,fednova", train__max_steps=3, **sgd)
    expected, found = weights(run, "fedavg", 2), weights(run, "fednova", 2)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_fixbn_holds_its_statistics_still_in_the_second_half() -> None:
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    start = copy.deepcopy(model)
    late = replace(toy_round(model, 3), number=6)  # of ten
    fixbn.site(late)
    assert torch.equal(model[1].running_mean, start[1].running_mean)
    assert model[1].num_batches_tracked == 0
    assert not torch.equal(model[1].weight, start[1].weight)
    early, plain = copy.deepcopy(start), copy.deepcopy(start)
    fixbn.site(replace(toy_round(early, 3), number=5))
    toy_round(plain, 3).fit()
    assert_same_bits(*({n: t.numpy() for n, t in m.state_dict().items()} for m in (early, plain)))


def test_kernels_of_fedwon_have_mean_0_and_variance_1_over_fan_in() -> None:
    torch.manual_seed(8)
    layer = StandardConv2d(3, 5, 3)
    nn.init.normal_(layer.weight, 4, 9)
    kernels = layer.standardised().flatten(1)
    torch.testing.assert_close(kernels.mean(1), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(kernels.var(1, correction=0), torch.full((5,), 1 / 27))
    x = torch.randn(2, 3, 6, 6)
    expected = nn.functional.conv2d(x, layer.standardised(), layer.bias)
    torch.testing.assert_close(layer(x), expected)


def test_networks_tied_in_everything_train_as_one_on_all_images() -> None:
    """The pooled networks with one batch norm see the batch that joint training sees."""
    torch.manual_seed(9)
    one = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    nets = [copy.deepcopy(one) for _ in range(3)]
    for net in nets:
        tie(net, nets[0], list(one.state_dict()))
    parts = [torch.randn(k, 3, 2, 2) for k in (2, 3, 4)]
    assert torch.equal(PerSite(nets, is_one=True)(parts), one(torch.cat(parts)))
    assert torch.equal(nets[2][2].running_var, one[2].running_var)
    assert not torch.equal(PerSite(nets)(parts), one(torch.cat(parts)))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("nowhere:rules", "there is no module nowhere"),
        ("federated.methods.ditto:nothing", "has no 'nothing'"),
        ("federated.methods.ditto:site", "is a function and no federated.methods.seam.Rules"),
        ("noseparator", "package.module:name"),
    ],
)
def test_code_that_is_none_gets_a_sentence(code: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        rules_of(Config(code=code))


def test_every_method_that_brings_code_has_a_file_of_its_own() -> None:
    from federated.config.presets import METHODS

    room = Path(scaffold.__file__).parent
    named = {str(m.settings["code"]) for m in METHODS.values() if m.settings.get("code")}
    files = {p.stem for p in room.glob("*.py")} - {"__init__", "seam", "parting", "slots"}
    assert {code.split(":")[0].rpartition(".")[2] for code in named} == files
