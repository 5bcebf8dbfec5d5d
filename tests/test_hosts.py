"""Who is who in a deployment: names bound to nodes, strangers, quorums, and what is then said."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from PIL import Image

from clients.app import app as client_app
from federated.commands.deploying import write_policy
from federated.commands.main import main
from federated.config.study import parse
from federated.config.writing import parse_run_config, run_config_defaults
from federated.data import SPLITS, load_site, prepare
from federated.engine.inline import InlineGrid
from federated.errors import UserError
from federated.runs.reading import load
from server.advice import Advice, WithoutTraceback
from server.app import app as server_app

Nodes = Mapping[int, dict[str, Any]]


class Hospitals:
    """A SuperLink in one process: nodes with numbers and node-configs of their own."""

    def __init__(self, given: Mapping[str, Any], nodes: Nodes) -> None:
        self._link = InlineGrid(client_app, given, len(nodes))
        self._given, self.nodes = given, dict(nodes)
        self._replies: list[Message] = []
        self.asked: list[tuple[int, str]] = []

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def push_messages(self, messages: list[Message]) -> list[str]:
        numbers = []
        for message in messages:
            node = message.metadata.dst_node_id
            self.asked.append((node, message.metadata.message_type))
            message.metadata.__dict__["_message_id"] = str(len(self.asked))
            numbers.append(message.metadata.message_id)
            if node in self.nodes:
                context = Context(1, node, self.nodes[node], RecordDict(), dict(self._given))
                self._replies.append(client_app(message, context))
        return numbers

    def pull_messages(self, numbers: Iterable[str]) -> list[Message]:
        wanted = set(numbers)
        found = [r for r in self._replies if r.metadata.reply_to_message_id in wanted]
        self._replies = [r for r in self._replies if r not in found]
        return found


@pytest.fixture
def federate(tiny: Callable[..., dict[str, str]], tmp_path: Path) -> Callable[..., Hospitals]:
    """Run a server over hospitals called as given, each with a vault of its own."""

    def go(nodes: Mapping[int, str], folder: str = "run", **settings: object) -> Hospitals:
        cache = {"data.cache": tiny()["data.cache"]}
        quick = {"engine__registration": 1, "engine__timeout": 1, "rounds": 1, **settings}
        given: dict[str, Any] = {**run_config_defaults(), **tiny(folder, phantom__sites=2, **quick)}
        policy = str(write_policy(tmp_path / "policy", parse(parse_run_config(given))))
        own = {
            n: {"site": name, "policy": policy, "vault": str(tmp_path / f"vault-{n}"), **cache}
            for n, name in nodes.items()
        }
        grid: Any = Hospitals(given, own)
        server_app(grid, Context(1, 1, {}, RecordDict(), given))
        return grid  # type: ignore[no-any-return]

    return go


BOTH = {7001: "phantom-1", 7002: "phantom-2"}


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_a_server_of_named_sites_looks_at_no_data_of_its_own(
    federate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(config: object) -> None:
        raise AssertionError("the server looked for hospitals in its data")

    monkeypatch.setattr("server.hosts.site_names", lambda config: tuple(sorted(config.sites)))
    federate(BOTH, sites="phantom-2,phantom-1")
    assert set(load(tmp_path / "run").metrics["site"]) == set(BOTH.values())
    known = json.loads((tmp_path / "run" / "hospitals.json").read_text())
    assert {name: host["node"] for name, host in known.items()} == {
        "phantom-1": 7001,
        "phantom-2": 7002,
    }


def test_whoever_registers_takes_part_where_a_number_is_asked_for(
    federate: Any, tmp_path: Path
) -> None:
    federate(BOTH, engine__quorum=2)
    assert set(load(tmp_path / "run").metrics["site"]) == set(BOTH.values())


def test_too_few_are_an_error_with_the_time_that_was_waited(federate: Any) -> None:
    with pytest.raises(UserError, match=r"2 hospitals registered within 1 s.*asks for 3"):
        federate(BOTH, engine__quorum=3)
    with pytest.raises(UserError, match=r"within 1 s and none is the site north.*registration"):
        federate(BOTH, sites="phantom-1,north", folder="other")


def test_named_hospitals_are_never_guessed_from_the_servers_data(federate: Any) -> None:
    with pytest.raises(UserError, match=r'sites="phantom-1,phantom-2".*engine\.quorum=2'):
        federate(BOTH)


def test_a_stranger_is_ignored_with_a_word(federate: Any, tmp_path: Path) -> None:
    grid = federate({**BOTH, 7003: "phantom-3"}, sites="phantom-1,phantom-2")
    assert [kind for node, kind in grid.asked if node == 7003] == ["query.register"]
    [ignored] = events(tmp_path / "run", "node-ignored")
    assert (ignored["node"], set(load(tmp_path / "run").metrics["site"])) == (
        "7003",
        set(BOTH.values()),
    )


def test_two_nodes_that_claim_one_name_are_an_error(federate: Any) -> None:
    with pytest.raises(UserError, match="two nodes say that they are the site phantom-1"):
        federate({**BOTH, 7003: "phantom-1"}, sites="phantom-1,phantom-2")


def test_a_name_stays_with_the_node_that_registered_it_first(federate: Any, tmp_path: Path) -> None:
    federate(BOTH, sites="phantom-1,phantom-2")
    moved = {7001: "phantom-1", 9999: "phantom-2"}
    with pytest.raises(UserError, match=r"node 7002 and node 9999.*engine\.rebind=phantom-2"):
        federate(moved, sites="phantom-1,phantom-2")
    federate(moved, sites="phantom-1,phantom-2", engine__rebind="phantom-2")
    known = json.loads((tmp_path / "run" / "hospitals.json").read_text())
    assert known["phantom-2"]["node"] == 9999


def test_pooled_training_over_hospitals_is_refused_before_round_1(federate: Any) -> None:
    with pytest.raises(UserError, match="pooled trains on all images in one place"):
        federate(BOTH, sites="phantom-1,phantom-2", methods="pooled")


def test_a_run_goes_on_without_a_hospital_once_fewer_will_do(federate: Any, tmp_path: Path) -> None:
    federate(BOTH, sites="phantom-1,phantom-2", rounds=2)
    alone = {7001: "phantom-1"}
    with pytest.raises(UserError, match="none is the site phantom-2"):
        federate(alone, sites="phantom-1,phantom-2", rounds=2)
    federate(alone, sites="phantom-1,phantom-2", rounds=2, server__min_sites=1)
    [away] = events(tmp_path / "run", "site-away")
    assert away["site"] == "phantom-2"


def test_an_order_that_fails_names_the_hospital_and_the_same_flwr_run(
    federate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sites: list[Any], order: Any, sent: object) -> None:
        raise ValueError(f"image of patient 12 at {sites[0].name}")

    monkeypatch.setattr("clients.work.train", fail)
    with pytest.raises(UserError) as stopped:
        federate(BOTH, sites="phantom-1,phantom-2")
    said, run = str(stopped.value), json.loads((tmp_path / "run" / "lineage.json").read_text())
    assert f"is in VAULT/{run['run']}/phantom-1/site.log at phantom-1" in said
    assert "the same flwr run once more" in said
    assert "consilium resume" not in said and "patient 12" not in said
    log = tmp_path / "vault-7001" / run["run"] / "phantom-1" / "site.log"
    assert "patient 12" in log.read_text()


def test_resume_of_a_deployment_points_to_flwr_run(
    federate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    federate(BOTH, sites="phantom-1,phantom-2")
    assert main(["resume", str(tmp_path / "run")]) == 2
    assert "flwr run" in capsys.readouterr().err


def test_a_vault_serves_two_deployed_runs_as_if_each_were_alone(
    federate: Any, tmp_path: Path
) -> None:
    """The numbers of the second run over the same vaults are those of the same run by itself."""
    federate(BOTH, folder="first", sites="phantom-1,phantom-2", rounds=2)
    federate(BOTH, folder="second", sites="phantom-1,phantom-2", rounds=1, seeds=1)
    alone = {n + 100: name for n, name in BOTH.items()}
    federate(alone, folder="alone", sites="phantom-1,phantom-2", rounds=1, seeds=1)
    second, by_itself = (
        load(tmp_path / name).metrics.query("metric != 'seconds'").reset_index(drop=True)
        for name in ("second", "alone")
    )
    assert second.equals(by_itself)
    assert len([one for one in (tmp_path / "vault-7001").iterdir() if one.is_dir()]) == 2


def test_a_user_error_is_logged_without_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("of a test")
    log.addFilter(WithoutTraceback())
    for error in (UserError("two nodes are north."), ValueError("a fault of ours")):
        try:
            raise error
        except Exception as raised:
            log.error("%s raised an exception", "ServerApp", exc_info=raised)
    plainly, fully = caplog.records
    assert (plainly.getMessage(), plainly.exc_info) == ("consilium: two nodes are north.", None)
    assert fully.exc_info


def test_a_simulation_is_advised_to_resume(tmp_path: Path) -> None:
    advice = Advice(tmp_path, "abc")
    assert advice.command == f"consilium resume {tmp_path}"
    assert str(tmp_path / "sites" / "north" / "site.log") in advice.logs_of(["north"])
    elsewhere = Advice(tmp_path, "abc", vaults="~/vaults").logs_of(["north"])
    assert elsewhere == "what went wrong is in ~/vaults/abc/north/site.log on its node."


def test_sites_choose_among_the_hospitals_of_a_simulation(run_tiny: Any, tiny: Any) -> None:
    found = run_tiny(sites="phantom-3,phantom-1", rounds=1)
    assert set(found.metrics["site"]) == {"phantom-1", "phantom-3"}
    with pytest.raises(UserError, match=r"sites = 'phantom-9': .*did you mean"):
        prepare(parse(tiny(sites="phantom-1,phantom-9")).common)


def test_a_hospitals_folder_may_have_any_name(tiny: Any, tmp_path: Path) -> None:
    """Its images are split as those of a folder with the hospital's name are."""
    for name in ("north", "CT 2026"):
        for label in ("covid", "non-covid"):
            (tmp_path / name / label).mkdir(parents=True)
            for number in range(20):
                pixels = np.full((40, 40), 5 * number + 100 * (label == "covid"), np.uint8)
                pixels[number, 3:30] = 255 - number
                Image.fromarray(pixels).save(tmp_path / name / label / f"{number}.png")
    plain, odd = (
        parse(tiny(data__folder=tmp_path / name, phantom__sites=0)).common
        for name in ("north", "CT 2026")
    )
    expected, found = load_site(plain, "north"), load_site(odd, "north", alone=True)
    for split in SPLITS:
        assert found.split(split).ids == expected.split(split).ids
        assert np.array_equal(found.split(split).images, expected.split(split).images)
    with pytest.raises(UserError, match="no site 'north'"):
        load_site(odd, "north")
