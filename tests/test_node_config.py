"""A hospital's node reads and writes what its own node-config names, nothing of a server's."""

from pathlib import Path

import pytest
from flwr.app import Context, Message
from hostile_orders import Ward

from clients.app import app
from clients.node import NodeConfigError, NotHereError, hosted_sites, named_sites, study_of
from federated.engine.grid import enter_task
from federated.exchange.actions import Action
from federated.exchange.failures import NO_VAULT, NODE_CONFIG
from federated.exchange.wire import ALL_SITES, Order

SITE: dict[str, bool | float | int | str] = {"site": "phantom-1"}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Ward:
    enter_task()
    return Ward(tmp_path_factory.mktemp("ward"), data_cache)


def node(ward: Ward, own: dict[str, str], **given: str) -> Context:
    """Return a hospital's context: its own settings, and what the server gives beside the run's."""
    context = ward.context(has_vault=False)
    context.node_config = {**SITE, **own}
    more = {key.replace("__", "."): value for key, value in given.items()}
    context.run_config = {**ward.given, **more}
    return context


def test_no_data_path_of_the_server_is_followed(ward: Ward) -> None:
    own = {"data.folder": "/here/images"}
    context = node(ward, own, data__folder="/etc", data__manifest="/etc/x", data__cache="/srv/c")
    data = study_of(context).common.data
    assert (data.folder, data.manifest, data.cache) == ("/here/images", "", "")


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("data.folder", "data.folder"),
        ("data.covid-ct", "data.covid-ct"),
        ("model.start", "model.start"),
        ("rollout.scenario", "rollout.scenario"),
        ("modules", "modules"),
    ],
)
def test_what_the_run_needs_must_be_the_nodes_own(ward: Ward, key: str, word: str) -> None:
    context = node(ward, {})
    context.run_config[key] = "/etc"
    with pytest.raises(NodeConfigError, match=word):
        study_of(context)


def test_the_server_hears_which_kind_of_setting_is_missing(ward: Ward) -> None:
    context = node(ward, {"vault": str(ward.vault)}, data__folder="/etc")
    reply = app(ward.message(), context)
    assert reply.error.code == NODE_CONFIG
    assert reply.error.reason is not None and "/etc" not in reply.error.reason
    assert "data.folder" in (ward.vault / "phantom-1" / "site.log").read_text()


def test_a_hospital_without_a_vault_writes_nothing(ward: Ward) -> None:
    before = ward.files()
    assert app(ward.message(), node(ward, {})).error.code == NO_VAULT
    assert ward.files() == before


@pytest.mark.parametrize("name", ["../escaped", "a/b", "a\\b", "..", ""])
def test_a_sites_name_has_no_separator(ward: Ward, name: str) -> None:
    context = node(ward, {"site": name, "vault": str(ward.vault)})
    with pytest.raises(NodeConfigError, match="separators"):
        hosted_sites(context, study_of(context))
    message, before = ward.message(), ward.files()
    order = message.content["order"]
    order["site"], order["round"] = "", 0  # type: ignore[assignment]
    asked = Message(message.content, context.node_id, Action.REGISTER)
    assert app(asked, context).error.code == NODE_CONFIG
    assert ward.files() == before


def test_pooled_training_is_refused_by_one_hospital(ward: Ward) -> None:
    order = Order("pooled", 0, 1, ALL_SITES, str(ward.folder / "run"), "")
    simulated: dict[str, bool | float | int | str] = {"partition-id": 0, "num-partitions": 3}
    for own, is_refused in ((SITE, True), (simulated, False)):
        context = ward.context(has_vault=False)
        context.node_config, context.run_config = own, {**ward.given, "methods": "pooled"}
        study = study_of(context)
        if is_refused:
            with pytest.raises(NotHereError, match="pooled"):
                named_sites(order, context, study)
        else:
            assert len(named_sites(order, context, study)) == 3
