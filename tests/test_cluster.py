"""The cluster that workers run on: locked when it is ours, left alone when it is not; its room."""

import os
import socket
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import psutil
import pytest
import ray
from test_workers import SITES, ask, bits, hospital, ray_grid

from federated.engine.inline import InlineGrid
from federated.engine.ray import join, own
from federated.engine.ray.cluster import number_of_workers
from federated.errors import UserError

JOIN = """
import sys, ray
from federated.engine.ray.start import open_cluster
from federated.errors import UserError
ray.__version__ = sys.argv[2]
try:
    cluster = open_cluster(sys.argv[1])
    print("joined", ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()))
    cluster.close()
except UserError as error:
    print("refused", error)
"""


def join_elsewhere(address: str, token: str, version: str = ray.__version__) -> str:
    """Return what a driver of its own process says that joins a cluster on the loopback."""
    settings = {"RAY_AUTH_TOKEN": token} if token else {}
    return subprocess.run(
        [sys.executable, "-c", JOIN, address, version],
        env={**os.environ, **settings, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout


def ray_processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.mark.ray
def test_a_cluster_of_our_own_is_closed_to_everyone_else() -> None:
    with ray_grid() as grid:
        ask(grid)
        listening = [
            (process.name(), place.laddr)
            for process in (psutil.Process(), *ray_processes())
            for place in process.net_connections("inet")
            if place.status == "LISTEN"
        ]
        assert len(listening) >= 7  # driver, GCS, raylet twice, its agent, two workers
        assert {place.ip.removeprefix("::ffff:") for _, place in listening} == {"127.0.0.1"}
        raylet = next(process for process in ray_processes() if process.name() == "raylet")
        token = raylet.environ()["RAY_AUTH_TOKEN"]
        assert "RAY_AUTH_TOKEN" not in os.environ
        assert not [p for p in ray_processes() if token in " ".join(p.cmdline())]
        (folder,) = own._folders
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        written = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        assert written and not [path for path in written if token.encode() in path.read_bytes()]

        address = ray.get_runtime_context().gcs_address
        for wrong in ("", "0" * 64):
            metadata = [("authorization", f"Bearer {wrong}")] if wrong else None
            with (
                grpc.insecure_channel(address) as channel,
                pytest.raises(grpc.RpcError) as refused,
            ):
                channel.unary_unary(join.ALIVE)(b"", timeout=10, metadata=metadata)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "wants a token; set RAY_AUTH_TOKEN" in join_elsewhere(address, "")
        assert "wants another than RAY_AUTH_TOKEN" in join_elsewhere(address, "0" * 64)
        assert join_elsewhere(address, token) == "joined 42\n"
    assert not folder.exists()


@pytest.mark.ray
def test_ray_that_someone_else_started_is_used_and_left_as_it_is() -> None:
    ray.init("local", num_cpus=1, include_dashboard=False, **own.QUIET)
    try:
        address = ray.get_runtime_context().gcs_address
        mine = ray.put("my own result")
        with ray_grid(workers=1) as grid:
            assert bits(ask(grid)) == bits(ask(InlineGrid(hospital, {}, SITES)))
        with (
            pytest.raises(UserError, match=r"engine.workers = 2, but .* has room for 1"),
            ray_grid(),
        ):
            pass
        with (
            pytest.raises(UserError, match="connected to the Ray cluster at"),
            ray_grid(address="h:1"),
        ):
            pass

        class Busy:  # in here, so that Ray sends it along
            def there(self) -> bool:
                return True

        busy = ray.remote(num_cpus=1)(Busy).remote()
        ray.get(busy.there.remote())
        sentence = (
            "no Ray worker started within engine.timeout = 2 s: each needs 1 CPUs .* 0 CPUs free"
        )
        with pytest.raises(UserError, match=sentence), ray_grid(workers=1, patience=2):
            pass
        assert ray.get(mine) == "my own result"
        said = join_elsewhere(address, "", "2.0.0")
        assert said.startswith(
            f"refused engine.address = '{address}': it cannot be joined. Version"
        )
        assert said.count("\n") == 1
    finally:
        ray.shutdown()


NODES = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 3.0}]


@pytest.mark.parametrize(
    ("wanted", "threads", "gpus", "number"),
    [
        (0, 1, 0, 11),  # 8 + 3
        (0, 2, 0, 5),  # 4 + 1: a worker does not span machines
        (0, 8, 0, 1),
        (0, 1, 0.4, 4),  # two on each of two GPUs, not five on both
        (0, 1, 0.25, 8),
        (0, 3, 0.25, 2),
        (0, 1, 2, 1),
        (7, 1, 0, 7),
    ],
)
def test_workers_are_as_many_as_fit(monkeypatch, wanted, threads, gpus, number) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": n} for n in NODES])
    assert number_of_workers(wanted, 100, threads=threads, gpus=gpus) == number
    assert number_of_workers(wanted, 1, threads=threads, gpus=gpus) == 1


@pytest.mark.parametrize(
    ("wanted", "threads", "gpus", "sentence"),
    [
        (0, 9, 0, "engine.threads = 9, but no machine of the Ray cluster has more than 8 CPUs"),
        (0, 1, 3, "engine.gpus = 3, but no machine of the Ray cluster has more than 2 GPUs"),
        (0, 1, 1.5, "engine.gpus = 1.5: beyond 1 it must be a whole number"),
        (12, 1, 0, "engine.workers = 12, but the Ray cluster has room for 11 workers of 1 CPUs"),
        (0, 9, 0.5, "engine.threads = 9"),
    ],
)
def test_what_does_not_fit_is_one_sentence(monkeypatch, wanted, threads, gpus, sentence) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": n} for n in NODES])
    with pytest.raises(UserError, match=sentence):
        number_of_workers(wanted, 100, threads=threads, gpus=gpus)


def test_no_machine_with_both_and_none_with_a_gpu(monkeypatch) -> None:
    apart = [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": n} for n in apart])
    with pytest.raises(UserError, match="has both the 2 CPUs and the 1 GPUs"):
        number_of_workers(0, 4, threads=2, gpus=1)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    with pytest.raises(UserError, match=r"engine.gpus = 0.5, but the Ray cluster has no GPU"):
        number_of_workers(0, 4, threads=1, gpus=0.5)


class Page(BaseHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


def test_what_is_no_ray_cluster_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(join, "resolve_ip_for_localhost", lambda host: host)
    monkeypatch.setattr(join, "SECONDS", 1.0)
    with HTTPServer(("127.0.0.1", 0), Page) as web, socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        for port in (web.server_port, mute.getsockname()[1]):
            for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
                with pytest.raises(UserError, match="something listens there, but it is no Ray"):
                    join.probe(address)
        web.shutdown()
    with pytest.raises(UserError, match="no Ray cluster answers there"):
        join.probe(f"127.0.0.1:{port}")
    for address in ("local", "host", "host:", "host:x", ":6379", "host:70000"):
        with pytest.raises(UserError, match="it must be HOST:PORT"):
            join.probe(address)


def test_the_folder_of_a_cluster_has_a_short_name(monkeypatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setattr(own.tempfile, "tempdir", str(long))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    folder = own.make_folder()
    name = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
    assert len(str(folder / "r" / name)) <= 103
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    own.remove_folders()
    assert not folder.exists()
    for parent in (str(long), "/nowhere"):
        monkeypatch.setenv("RAY_TMPDIR", parent)
        with pytest.raises(UserError, match="set RAY_TMPDIR to one"):
            own.make_folder()
