"""A site with its own policy, its training code edited against it, and a server that asks more."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Context, Error, Message
from hostile_orders import Ward
from hypothesis import given
from hypothesis import strategies as st
from test_messages import load_with

import clients.work
from clients.app import app
from federated.commands.main import main
from federated.config.study import parse
from federated.engine import run
from federated.engine.grid import enter_task
from federated.errors import UserError
from federated.exchange.actions import Action
from federated.exchange.failures import EGRESS, FAILED, POLICY, REASONS
from federated.exchange.fingerprint import code_digest
from federated.exchange.policy import Policy, PolicyError, parse_policy, read_policy
from federated.exchange.policy_file import policy_text, together
from federated.exchange.schema import NOTHING, SCHEMAS, Schema
from federated.exchange.sharing import Release, TensorSpec
from federated.methods import schema_of
from federated.runs.reading import load


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Ward:
    enter_task()
    return Ward(tmp_path_factory.mktemp("ward"), data_cache)


def own_policy(ward: Ward) -> Policy:
    schema = schema_of(parse(ward.given).by_method["fedavg"])
    return Policy(terms=frozenset(), code=code_digest(), tensors=schema.tensors)


def hospital(ward: Ward, policy: Policy | None) -> Context:
    """Return the context of a real hospital's node, its policy written into its vault."""
    file = ward.vault / "policy.toml"
    file.unlink(missing_ok=True)
    if policy is not None:
        file.write_text(policy_text(policy))
    context = ward.context()
    context.node_config = {"site": "phantom-1", "vault": str(ward.vault)}
    return context


def registration(ward: Ward, schemas: dict[str, str]) -> Message:
    content = ward.message().content
    content["order"]["site"], content["order"]["round"] = "", 0  # type: ignore[index]
    del content["weights"]
    content[SCHEMAS] = ConfigRecord(dict(schemas))
    return Message(content, 1001, Action.REGISTER)


def site_log(ward: Ward) -> str:
    return "".join(path.read_text() for path in ward.vault.glob("*/site.log"))


def test_a_hospital_with_a_policy_takes_part(ward: Ward) -> None:
    context, policy = hospital(ward, own_policy(ward)), own_policy(ward)
    schemas = {"fedavg": Schema(policy.tensors or ()).digest}
    assert not app(registration(ward, schemas), context).has_error()
    reply = app(ward.message(), context)
    assert set(reply.content.array_records) == {"weights"}


def without(policy: Policy, name: str) -> Policy:
    return replace(policy, tensors=tuple(t for t in policy.tensors or () if t.name != name))


def test_a_server_that_asks_for_more_is_refused_at_registration_and_later(ward: Ward) -> None:
    policy = own_policy(ward)
    tensors = policy.tensors or ()
    less = without(policy, tensors[0].name)
    digest = Schema(tensors).digest
    for message in (registration(ward, {"fedavg": digest}), ward.message()):
        reply = app(message, hospital(ward, less))
        assert (reply.error.code, reply.error.reason) == (POLICY, REASONS[POLICY])
        assert f"asks for {tensors[0].name}, which the policy does not list" in site_log(ward)


@pytest.mark.parametrize("schemas", [{}, {"fedavg": NOTHING.digest}])
def test_a_server_that_counts_on_another_schema_is_refused(ward: Ward, schemas) -> None:
    reply = app(registration(ward, schemas), hospital(ward, own_policy(ward)))
    assert reply.error.code == POLICY and "for fedavg" in site_log(ward)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [(None, "nothing leaves without one"), (Policy(code="f" * 64, tensors=()), "allows the code")],
)
def test_nothing_leaves_without_a_policy_or_from_other_code(
    ward: Ward, policy: Policy | None, sentence: str
) -> None:
    assert app(ward.message(), hospital(ward, policy)).error.code == POLICY
    assert sentence in site_log(ward)


def slipping():
    """Return a training step that was edited to put a batch norm's statistics among what leaves."""
    honest = clients.work.train

    def train(sites, order, sent):
        released, reports = honest(sites, order, sent)
        name = next(n for n in sites[0].boundary.private if n.endswith("running_mean"))
        mean = sites[0].model.state_dict()[name].clone()
        return Release({**released.tensors, f"weights/{name}": mean}), reports

    return train


def test_edited_training_code_gets_nothing_past_the_gate(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site is left out, its log names the tensor, and no message holds a number of it."""
    monkeypatch.setattr("clients.work.train", slipping())
    up: list[Message] = []

    def tapped(message: Message, context: Context) -> Message:
        up.append(app(message, context))
        return up[-1]

    monkeypatch.setattr("federated.engine.running.load_app", load_with(tapped))
    given = tiny(methods="fedbn", rounds=1)
    with pytest.raises(UserError, match="egress gate held a reply back"):
        run(given)
    log = (Path(given["folder"]) / "sites" / "phantom-1" / "site.log").read_text()
    assert "running_mean' is not on the list of what may leave" in log
    refused = [m for m in up if m.has_error()]
    assert len(refused) == 3
    assert {(m.error.code, m.error.reason) for m in refused} == {(EGRESS, REASONS[EGRESS])}


def test_an_error_of_edited_code_leaves_as_a_code(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talking(message: Message, *rest: object) -> Message:
        return Message(Error(FAILED, "patient 17 is positive"), reply_to=message)

    monkeypatch.setattr("clients.app.pack_reply", talking)
    reply = app(ward.message(), ward.context(has_vault=True))
    assert (reply.error.code, reply.error.reason) == (FAILED, REASONS[FAILED])


def test_a_run_can_round_and_withhold_what_its_sites_report(run_tiny) -> None:
    run = run_tiny(egress__digits=2, egress__minimum=7, egress__mantissa_bits=10)
    measured = run.metrics.query("split == 'val' and model == 'current'")
    rates = measured.query("metric == 'auc'")["value"]
    assert rates.isna().all() and len(rates) == 6  # validation has fewer than 7 of a class
    losses = run.metrics.query("metric == 'loss' and split == 'train'")["value"]
    assert (losses == losses.round(2)).all() and losses.nunique() > 1
    assert "not-finite" not in set(load(run.folder).events["kind"])


names = st.text('abz09_.-"', min_size=1, max_size=12).map("weights/{}".format)
specs = st.builds(
    TensorSpec,
    names,
    st.lists(st.integers(0, 99), max_size=4).map(tuple),
    st.sampled_from(["float32", "int64", "bool"]),
)


@given(
    st.lists(specs, max_size=5, unique_by=lambda s: s.name),
    st.integers(-1, 15),
    st.integers(0, 99),
    st.integers(0, 52),
    st.frozensets(st.text("abc_", min_size=1, max_size=5), max_size=3),
)
def test_a_policy_reads_as_it_was_written(tensors, digits, minimum, bits, terms) -> None:
    policy = Policy(digits, minimum, bits, terms, "", tuple(tensors))
    assert parse_policy(policy_text(policy), "here") == policy


@pytest.mark.parametrize(
    "change",
    [
        ("digits = 4", "digits = 99"),
        ("digits = 4", "digits = true"),
        ("digits = 4", "digit = 4"),
        ("digits = 4", "digits = 4\nmore = 1"),
        ("[tensors]", "[tensor]"),
        ("float32 2x3", "float32 2*3"),
        ("float32 2x3", "../x"),
        ("weights/w", "w"),
        ("digits = 4", "digits ="),
    ],
)
def test_a_policy_that_is_not_understood_allows_nothing(change: tuple[str, str]) -> None:
    text = policy_text(Policy(4, tensors=(TensorSpec("weights/w", (2, 3), "float32"),)))
    assert change[0] in text
    with pytest.raises(PolicyError, match="here"):
        parse_policy(text.replace(*change), "here")


def test_one_tensor_of_two_shapes_needs_two_policies() -> None:
    one, other = (Schema((TensorSpec("weights/w", (n,), "float32"),)) for n in (2, 3))
    assert together([one, NOTHING, one]) == one.tensors
    with pytest.raises(UserError, match="float32 2 under one method and float32 3 under another"):
        together([one, other])


def test_the_command_writes_a_policy_that_the_run_fits(
    tmp_path: Path, tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{key}={value}" for key, value in tiny(methods="fedbn,fedavg").items()]
    file = tmp_path / "policy.toml"
    assert main(["policy", *words, "--to", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("fedbn: weights ") and "normalisation none" in printed[0]
    assert "memory none" in printed[1] and "normalisation none" not in printed[1]
    policy = read_policy(file)
    assert (policy.digits, policy.minimum, policy.code) == (4, 11, code_digest())
    for config in parse(tiny(methods="fedbn,fedavg")).by_method.values():
        policy.check(schema_of(config))
    assert main(["policy", *words, "--to", str(file), "--digits", "99"]) == 2
    assert main(["policy", *words, "--to", str(tmp_path / "none" / "x")]) == 2


def test_the_kinds_of_a_schema_count_norms_and_memory_even_where_there_are_none() -> None:
    assert NOTHING.kinds == ("normalisation", "memory")
    tensor = torch.zeros(3)
    spec = TensorSpec.of("weights/w", tensor)
    assert Schema((spec,), frozenset({"weights/w"})).kinds == ("normalisation", "memory")
    assert Schema((spec,)).kinds == ("weights", "normalisation", "memory")
