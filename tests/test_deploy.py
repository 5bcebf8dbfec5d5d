"""A deployment on loopback: keys, certificates, processes that end with us, and the same bits."""

import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key
from flwr.common.config import parse_config_args
from test_laws import numbers

from federated.commands.deploying import write_policy
from federated.commands.main import main
from federated.config.given import parse_overrides
from federated.config.study import parse
from federated.deploy import processes
from federated.deploy.credentials import make_certificates, make_node_key
from federated.deploy.local import node_config, opened
from federated.deploy.submission import write_run_config
from federated.errors import UserError
from federated.runs.folder import RunFolder
from federated.runs.reading import Run, load

ROOT = Path(__file__).parent.parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends orphans by itself")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_certificates_are_accepted_by_whoever_trusts_the_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path, ("hospital.example", "127.0.0.1"))
    client = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    for name in ("hospital.example", "127.0.0.1"):
        shake_hands(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl.create_default_context(), server, "127.0.0.1")
    assert mode(tmp_path / "server.key") == 0o600


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Have two ends of TLS meet in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname=name),
        server.wrap_bio(up, down, server_side=True),
    ]
    done = set()
    while len(done) < len(ends):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue


def test_the_authority_signs_nothing_but_as_an_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    authority, server = (
        x509.load_pem_x509_certificate((tmp_path / name).read_bytes())
        for name in ("ca.crt", "server.crt")
    )
    server.verify_directly_issued_by(authority)
    constraints = [
        c.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        for c in (authority, server)
    ]
    assert constraints == [True, False]
    assert not (tmp_path / "ca.key").exists()


def test_a_nodes_keys_belong_together_and_are_of_flowers_kind(tmp_path: Path) -> None:
    make_node_key(tmp_path / "key")
    private = load_ssh_private_key((tmp_path / "key").read_bytes(), None)
    public = load_ssh_public_key((tmp_path / "key.pub").read_bytes())
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert private.public_key().public_numbers() == public.public_numbers()
    assert private.curve.name == "secp384r1"
    assert mode(tmp_path / "key") == 0o600


@pytest.mark.parametrize(
    "value", ["/srv/north", "/srv/two words", "it's", 'C:\\a "b" c', "ключ", "a=b c=d"]
)
def test_flower_reads_a_node_config_as_it_was_meant(value: str) -> None:
    meant = {"site": "north", "data.folder": value}
    assert parse_config_args([node_config(meant)]) == meant


@pytest.mark.parametrize("value", ['it\'s "both"', "it's a\\b", "two\nlines"])
def test_what_a_node_config_cannot_hold_is_an_error(value: str) -> None:
    with pytest.raises(UserError, match="node-config"):
        node_config({"vault": value})


def test_the_run_config_says_what_was_set_in_its_type(tmp_path: Path) -> None:
    given = parse_overrides(
        ["rounds=2", "train.precision=fp32", "seeds=0,1", "train.augment=false", "data.folder=/x"]
    )
    values = tomllib.loads(write_run_config(tmp_path, given, ["south", "north"]).read_text())
    assert values == {
        "rounds": 2,
        "train.precision": "fp32",
        "seeds": "0,1",
        "train.augment": False,
        "sites": "south,north",
        "folder": str(tmp_path / "run"),
    }
    with pytest.raises(UserError, match=r"method\.fedavg\.rounds"):
        write_run_config(tmp_path, {"method.fedavg.rounds": 3}, ["north"])


def test_deploy_asks_for_local_and_names_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy"]) == 2
    assert "docs/DEPLOY.md" in capsys.readouterr().err


def test_what_ends_before_it_listens_is_an_error_with_its_log(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "print('no certificate')"]
    process = processes.start(words, tmp_path / "log", os.environ, tmp_path)
    [port] = processes.free_ports(1)
    with pytest.raises(UserError, match=str(tmp_path / "log")):
        processes.await_listener(process, port, tmp_path / "log", 20.0)
    assert "no certificate" in (tmp_path / "log").read_text()
    assert mode(tmp_path / "log") == 0o600


def test_stop_ends_what_a_process_has_started_too(tmp_path: Path) -> None:
    child = (
        "import subprocess; subprocess.Popen(['sleep', '600']); print('up', flush=True); input()"
    )
    words = ["sh", "-c", f'{sys.executable} -c "{child}"; sleep 600']
    process = processes.start(words, tmp_path / "log", os.environ, tmp_path)
    group = process.pid
    processes.stop([process])
    # A process that was killed stays in its group until init has taken note of its end.
    wait_until(lambda: not has_members(group), 20.0)


def has_members(group: int) -> bool:
    """Return whether a group has a process that has not ended, or whose end nobody has noted."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@linux
def test_nothing_outlives_us_when_we_are_killed(tmp_path: Path) -> None:
    script = f"""
        import os, sys, time
        from pathlib import Path
        from federated.deploy import processes
        place = Path({str(tmp_path)!r})
        one = processes.start(["sleep", "600"], place / "log", os.environ, place)
        print(one.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    wait_until(lambda: not is_running(child), 30.0)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


SETTINGS = {
    "rounds": 2,
    "methods": "consilium",
    "phantom.sites": 2,
    "phantom.patients": 12,
    "data.image-size": 32,
    "model.name": "convnet",
    "model.width": 0.25,
    "train.batch-size": 8,
    "train.precision": "fp32",
}
ASKED = {"statistics.ask": "before", "statistics.minimum": 3}


@pytest.mark.deploy
def test_two_hospitals_one_killed_give_the_bits_of_the_simulation(tmp_path: Path, run_tiny) -> None:
    """What they tell of their data before round 1 included."""
    found = run_with_one_killed(tmp_path, {**SETTINGS, **ASKED})
    words = {key.replace(".", "__"): value for key, value in ASKED.items()}
    expected = run_tiny("simulation", methods="consilium", phantom__sites=2, **words)
    is_the_simulation(found, expected, "consilium")
    told, expected_told = (
        RunFolder(run.folder).data_statistics.read_text() for run in (found, expected)
    )
    assert told == expected_told and {"phantom-1", "phantom-2"} <= set(re.split("[,\n]", told))


def run_with_one_killed(
    tmp_path: Path, settings: Mapping[str, Any], look: Callable[[], None] = lambda: None
) -> Run:
    """Deploy, kill phantom-2 after round 1, start it again, and return the run once it has ended.

    Args:
        tmp_path: Where all of it goes, into ``deployment``.
        settings: Of the run.
        look: Called between the kill and the new start.
    """
    folder = tmp_path / "deployment"
    policy = write_policy(folder, parse(settings))
    own = {"data.cache": str(tmp_path / "cache"), "policy": str(policy)}
    sites = [f"phantom-{k}" for k in range(1, settings["phantom.sites"] + 1)]
    with opened(folder, dict.fromkeys(sites, own)) as deployment:
        config = write_run_config(deployment.folder, settings, deployment.hospitals)
        submit = ("run", ".", "--stream", "--run-config", str(config))
        victim = threading.Thread(target=kill_after_round_1, args=(deployment,))
        victim.start()
        first = deployment.flwr(*submit, cwd=ROOT)
        victim.join()
        assert "run-ended" not in events(folder), "the run must have missed the killed node"
        look()
        deployment.start_node("phantom-2")
        wait_until(lambda: not deployment.ended(), 60.0)
        second = deployment.flwr(*submit, cwd=ROOT)
        assert "run-ended" in events(folder), first + second
    return load(folder / "run")


def is_the_simulation(found: Run, expected: Run, method: str) -> None:
    """Compare numbers and shared weights to the bit."""
    pd.testing.assert_frame_equal(
        numbers(expected, method), numbers(found, method), check_exact=True
    )
    shared = f"{method}/seed-0/shared.safetensors"
    there, here = (run.folder / shared for run in (expected, found))
    assert there.read_bytes() == here.read_bytes()


def events(folder: Path) -> str:
    path = folder / "run" / "events.jsonl"
    return path.read_text() if path.exists() else ""


def kill_after_round_1(deployment) -> None:
    wait_until(lambda: '"round-ended"' in events(deployment.folder), 400.0)
    processes.kill(deployment.nodes["phantom-2"])


@linux
@pytest.mark.deploy
def test_ctrl_c_ends_all_and_a_kill_too(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "federated.commands.main", "deploy", "--local"]
    for number in (signal.SIGINT, signal.SIGKILL):
        command = [*words, "--to", str(tmp_path / "deployment"), "phantom.sites=1"]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # A shell has what it starts in the background ignore Ctrl-C, this test included.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stdout
            said = [process.stdout.readline()]
            while "Ctrl-C" not in said[-1]:
                said.append(process.stdout.readline())
                assert said[-1], said
            children = [path for path in Path("/proc").glob("[0-9]*") if is_of(path, tmp_path)]
            assert len(children) >= 3
            process.send_signal(number)
        assert process.returncode == {signal.SIGINT: 130}.get(number, -number)
        wait_until(
            lambda: not any(is_of(path, tmp_path) for path in Path("/proc").glob("[0-9]*")), 60
        )


def is_of(process: Path, folder: Path) -> bool:
    """Return whether a process has our folder in its environment, as all that we start have."""
    try:
        return f"FLWR_HOME={folder}".encode() in (process / "environ").read_bytes()
    except OSError:
        return False
