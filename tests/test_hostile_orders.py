"""A hostile server has rounds trained and nothing else, and nothing written outside a vault."""

from collections.abc import Iterator
from pathlib import Path

import hostile_orders
import pytest
from hostile_orders import Ward
from hostile_spoils import Spoil

from clients.app import app as client_app
from federated.engine.grid import enter_task
from federated.exchange.failures import NO_VAULT
from federated.exchange.orders import is_name, is_void_text
from server.standing import Standing


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, data_cache: Path) -> Iterator[Ward]:
    enter_task()
    yield Ward(tmp_path_factory.mktemp("ward"), data_cache)


@pytest.mark.parametrize(
    ("name", "spoil", "code"), hostile_orders.CASES, ids=[c[0] for c in hostile_orders.CASES]
)
def test_a_malformed_order_is_refused(ward: Ward, name: str, spoil: Spoil, code: int) -> None:
    assert hostile_orders.outcome(ward, spoil, code) == "refused by its code"


def test_an_honest_order_is_followed(ward: Ward) -> None:
    reply = client_app(ward.message(), ward.context())
    assert not reply.has_error()
    assert set(reply.content) == {"weights", "report/phantom-1/train/current"}


def test_a_refused_order_is_in_the_nodes_own_log(ward: Ward) -> None:
    message = ward.message()
    message.content["order"]["site"] = "../../escaped"
    reply = client_app(message, ward.context())
    assert reply.error.reason == "it refused an order that is malformed; its own log says why"
    log = (ward.vault / f"node-{ward.context().node_id}" / "site.log").read_text()
    assert "values that cannot be: site" in log.splitlines()[-2] + log.splitlines()[-1]


def test_a_node_without_a_vault_makes_no_folder_that_a_server_names(ward: Ward) -> None:
    message, before = ward.message(), ward.files()
    message.content["order"]["folder"] = str(ward.folder / "elsewhere")
    reply = client_app(message, ward.context(has_vault=False))
    assert reply.error.code == NO_VAULT
    assert ward.files() == before


@pytest.mark.parametrize(
    "name", ["phantom-1", "São Paulo", "a.b", "..c", "Charité (Mitte)", "x" * 200]
)
def test_names_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\\b", "a\0", "a\n", "x" * 201])
def test_paths_are_not(name: str) -> None:
    assert not is_name(name)


def test_void_rounds_as_a_server_writes_them() -> None:
    for void in ((), ((3, 7),), ((3, 7), (9, 9), (12, 999_999))):
        assert is_void_text(Standing(void=void).void_text)
