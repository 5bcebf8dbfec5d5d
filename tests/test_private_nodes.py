"""A cluster whose nodes share no disk: sites keep to the node that holds their vaults."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import ray
from test_laws import numbers

from federated.engine import run
from federated.engine.ray import nodes
from federated.engine.ray.homes import homes_of
from federated.engine.ray.nodes import Node, Seen
from federated.errors import UserError
from federated.runs.reading import load
from federated.unseen.models import site_state

SITES = ("a", "b", "c", "d")


def node(name: str, *sites: str, cpus: int = 1, folder: str = "") -> Node:
    seen = Seen("", "", f"/{name}/vaults", "", sites, folder or f"folder of {name}" * bool(sites))
    return Node(name, f"host-{name}:1", {"CPU": cpus}, seen)


def settled(*cluster: Node, number: int = 2) -> Any:
    room = lambda one: int(one.resources["CPU"])  # noqa: E731
    return homes_of(cluster, SITES, number=number, room=room, resume="consilium resume RUN")


def test_a_site_keeps_to_the_node_with_its_vault_and_others_go_by_turns() -> None:
    assert settled(node("x"), node("y")).of_site == {"a": "x", "b": "y", "c": "x", "d": "y"}
    homes = settled(node("x"), node("y", "a", "d"))
    assert homes.workers == ("y", "x")
    assert homes.of_site == {"a": "y", "b": "y", "c": "x", "d": "y"}
    assert [homes.of(k) for k in range(4)] == ["y", "y", "x", "y"]
    assert settled(node("x", cpus=3), node("y"), number=4).workers == ("x", "y", "x", "x")


def test_nodes_that_see_one_folder_share_its_sites() -> None:
    """As where all homes are on one disk: no node's copy is the older one."""
    x, y = (node(name, "a", "b", "c", folder="1-2") for name in "xy")
    homes = settled(x, y)
    assert homes.of_site == {"a": "x", "b": "y", "c": "x", "d": "x"}
    assert settled(node("z"), x, y, number=2).workers == ("x", "z")
    assert set(settled(node("z"), x, y, number=2).of_site.values()) == {"x"}
    other = node("z", "d", folder="3-4")
    assert settled(x, y, other).of_site == {"a": "x", "b": "x", "c": "x", "d": "z"}


def test_a_folder_is_known_by_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "v" / "run-1" / "north").mkdir(parents=True)
    (tmp_path / "w").symlink_to(tmp_path / "v")
    shutil.copytree(tmp_path / "v", tmp_path / "copy")
    here, linked, copied = (nodes.look(str(tmp_path / n), "run-1") for n in ("v", "w", "copy"))
    assert here.sites == linked.sites == copied.sites == ("north",)
    assert here.folder == linked.folder != copied.folder
    assert nodes.look(str(tmp_path / "v"), "").folder == ""


def test_vaults_that_do_not_fit_the_nodes_are_named() -> None:
    with pytest.raises(
        UserError, match=r"two nodes .* vault of b .*host-x:1 \(/x/vaults\) and host-y"
    ):
        settled(node("x", "b"), node("y", "b"))
    with pytest.raises(UserError, match="host-y:1 holds the vaults of b, c and gets none of the 1"):
        settled(node("x", "a"), node("y", "b", "c"), number=1)


def test_what_a_node_says_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert nodes.look("~/v", "").vaults == str(tmp_path / "v")
    for site in ("south", "north"):
        (tmp_path / "v" / "run-1" / site).mkdir(parents=True)
    assert nodes.look("~/v", "run-1").sites == ("north", "south")
    assert nodes.look("~/v", "run-2").sites == ()
    assert nodes.look("relative", "").trouble == "is not an absolute path there"
    (tmp_path / "file").touch()
    assert nodes.look("~/file/v", "").trouble.startswith("cannot be made there")


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (
            Seen("0" * 64, ""),
            "host-x:1 .* has another Consilium: its code's digest is 000000000000",
        ),
        (Seen("", "0.1"), "host-x:1 .* has torch 0.1, and this machine has"),
        (
            Seen("", "", "/v", "cannot be written to there"),
            "'/v' cannot be written to there, on .*x:1",
        ),
    ],
)
def test_a_node_that_does_not_fit_is_one_sentence(
    seen: Seen, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = nodes.look("", "")
    told = Seen(seen.code or here.code, seen.torch or here.torch, seen.vaults, seen.trouble)
    monkeypatch.setattr(nodes.ray, "get", lambda reference, timeout: told)
    with pytest.raises(UserError, match=sentence):
        nodes._answer(node("x"), None)


def test_folders_of_nodes_need_nodes(tiny) -> None:
    with pytest.raises(UserError, match="is a folder on each node of a Ray cluster; set engine"):
        run(tiny(engine__vaults="~/vaults"))
    pooled = tiny(engine__vaults="~/v", engine__kind="ray", engine__address="h:1", methods="pooled")
    with pytest.raises(
        UserError, match="pooled: pooled training writes all hospitals' vaults on one"
    ):
        run(pooled)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """Yield a cluster whose head, with two CPUs, has the folder ``head`` for a home."""
    utils = pytest.importorskip("ray.cluster_utils")
    started = utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, **at_home(tmp_path / "head")}
    )
    yield started
    ray.shutdown()
    started.shutdown()


def at_home(home: Path) -> dict[str, Any]:
    home.mkdir(exist_ok=True)
    return {"env_vars": {"HOME": str(home), "XDG_CACHE_HOME": ""}}


def vaults_at(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "vaults").glob("*/*"))


@pytest.mark.ray
def test_a_node_without_a_shared_disk_is_killed(tiny, cluster: Any, tmp_path: Path) -> None:
    """The run ends with the same bits, wherever the vaults lie that its sites have left.

    Those of the lost node are copied to the head, whose own move to a new node: were sites given to
    nodes by turns again, the head with its two workers would get two of them.
    """
    lost = cluster.add_node(num_cpus=1, **at_home(tmp_path / "lost"))
    settings = {"rounds": 4, "methods": "fedbn,consilium", "data__cache": ""}
    there = {"kind": "ray", "address": cluster.address, "vaults": "~/vaults"}
    given = tiny("run", **settings, **{f"engine__{key}": value for key, value in there.items()})
    rounds: list[int] = []

    def kill(event: Any) -> None:
        if event["kind"] == "round-ended":
            rounds.append(event["round"])
            if len(rounds) == 2:
                workers = psutil.Process(lost.all_processes["raylet"][0].process.pid).children()
                cluster.remove_node(lost, allow_graceful=False)
                for process in workers:  # without its raylet a worker lives on for a second
                    if process.is_running():
                        os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(UserError) as stopped:
        run(given, kill)
    names, here = vaults_at(tmp_path / "lost"), vaults_at(tmp_path / "head")
    assert (len(names), len(here)) == (1, 2) and {*names}.isdisjoint(here)
    assert not (tmp_path / "run" / "sites").exists()
    assert f"left the Ray cluster, and with it the vaults of {', '.join(names)}. " in str(
        stopped.value
    )
    assert f"copy its {tmp_path / 'lost' / 'vaults'} to another node" in str(stopped.value)

    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "head" / "vaults", tmp_path / "new" / "vaults")
    shutil.copytree(tmp_path / "lost" / "vaults", tmp_path / "head" / "vaults")
    cluster.add_node(num_cpus=1, **at_home(tmp_path / "new"))
    cluster.wait_for_nodes()
    run(given)
    assert (vaults_at(tmp_path / "head"), vaults_at(tmp_path / "new")) == (names, here)
    assert (tmp_path / "new" / ".cache" / "consilium").exists()

    ran, copied = load(given["folder"]), tmp_path / "run" / "sites"
    with pytest.raises(UserError, match=r"copy what each node has in ~/vaults/\w+ to .*run/sites"):
        site_state(ran, "phantom-1", "fedbn", 0)
    for home in ("head", "new"):
        shutil.copytree(next((tmp_path / home / "vaults").glob("*")), copied, dirs_exist_ok=True)
    assert site_state(load(given["folder"]), "phantom-1", "fedbn", 0)

    whole = tiny("whole", **settings)
    run(whole)
    for method in ("fedbn", "consilium"):
        expected, found = (numbers(load(g["folder"]), method) for g in (whole, given))
        pd.testing.assert_frame_equal(expected, found, check_exact=True)
