"""A node that forks: a process a message, begun where all is imported but what is ours."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from federated.commands.main import main
from federated.deploy.credentials import make_node_key

PRETENDED = """
import os, sys
LOADED = os.getpid()
def flwr_clientapp():
    ours = [name for name in sys.modules if name.split(".")[0] in ("federated", "clients")]
    print(LOADED, os.getpid(), *sys.argv, *ours, file=sys.stderr)
    sys.exit(3 if "fail" in sys.argv else 0)
"""
"""What stands for Flower here: it says where it was imported and where it runs."""
NODE = """
import os, subprocess, sys
from pathlib import Path
from federated.deploy.warm import warmed
variables = warmed({**os.environ, "PYTHONPATH": sys.argv[2]}, Path(sys.argv[1]))
print(variables["PATH"].partition(":")[0], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pretended(tmp_path: Path) -> Path:
    """Return a folder of packages that stand for all that a node imports."""
    packages = tmp_path / "packages"
    (packages / "flwr/supernode/cli").mkdir(parents=True)
    for folder in ("flwr", "flwr/supernode", "flwr/supernode/cli"):
        (packages / folder / "__init__.py").touch()
    (packages / "flwr/supernode/cli/flwr_clientapp.py").write_text(PRETENDED)
    for name in ("numpy", "torch", "safetensors", "cryptography", "PIL"):
        (packages / f"{name}.py").touch()
    return packages


@contextmanager
def node(pretended: Path, program: Path) -> Iterator[Path]:
    """Run a node and yield the program that it starts for a message."""
    words, home = [sys.executable, "-c", NODE, str(program), str(pretended)], pretended.parent
    environment = {**os.environ, "FLWR_HOME": str(home), "TMPDIR": str(home)}
    with (
        (home / "log").open("w") as said,
        subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdout and process.stdin
        yield Path(process.stdout.readline().strip()) / "flwr-clientapp"
        process.stdin.close()


def test_each_message_has_a_process_of_its_own_that_imported_nothing(
    pretended: Path, tmp_path: Path
) -> None:
    with node(pretended, tmp_path / "none") as program:
        for words in (["--token", "a b'c"], ["fail"]):
            subprocess.run([program, *words], check=True, timeout=60)
        log = tmp_path / "log"
        wait_for(lambda: log.read_text().count("\n") == 2)
    first, second = (line.split(" ") for line in log.read_text().splitlines())
    assert first[0] == second[0], "imported once"
    assert len({first[0], first[1], second[1]}) == 3, "a process for each message"
    assert " ".join(first[2:]) == "flwr-clientapp --token a b'c", "and nothing of ours in it"
    wait_for(lambda: not program.exists() and not list(tmp_path.glob("consilium-*")))


def test_flowers_own_program_takes_over_if_what_forks_is_gone(
    pretended: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.write_text('#!/bin/sh\necho own "$@"\n')
    own.chmod(0o700)
    with node(pretended, own) as program:
        [socket] = tmp_path.glob("consilium-*/messages")
        socket.unlink()
        done = subprocess.run([program, "--token", "x"], capture_output=True, text=True)
    assert done.stdout == "own --token x\n"


def wait_for(found):
    deadline = time.monotonic() + 20.0
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def test_a_hospitals_part_imports_little_and_all_of_it_is_what_is_forked_from() -> None:
    script = """
        import sys
        sys.path.insert(0, "federated/deploy")
        from forking import preload
        preload()
        before = {name.partition(".")[0] for name in sys.modules}
        import clients.app
        after = {name.partition(".")[0] for name in sys.modules}
        print("ours", *before & {"federated", "clients", "server"})
        print("not preloaded", *after - before - sys.stdlib_module_names)
        heavy = "ray pandas matplotlib scipy statsmodels pyarrow opacus nibabel pydicom torchvision"
        print("heavy", *after & set(heavy.split()))
        print("compiler", *{"torch._dynamo", "torch._inductor"} & set(sys.modules))
    """
    words, root = [sys.executable, "-c", textwrap.dedent(script)], Path(__file__).parent.parent
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root)
    ours, anew, heavy, compiler = done.stdout.splitlines()
    assert set(anew.split()[2:]) == {"federated", "clients"}
    assert (ours, heavy, compiler) == ("ours", "heavy", "compiler")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--port": "70000"}, "port: 70000 is none"),
        ({"--auth-supernode-private-key": "none"}, "key: none cannot be read"),
        ({"--root-certificates": "none"}, "--root-certificates none is no file"),
        ({"--node-config": "site='../north'"}, "site: '../north' cannot name a folder"),
        ({"--node-config": "vault='/v'"}, "has no site"),
        ({"--node-config": "site=north"}, "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(
    changed: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_node_key(tmp_path / "key")
    good = {"--auth-supernode-private-key": str(tmp_path / "key"), "--node-config": "site='north'"}
    words = [word for pair in ({"--superlink": "h:1"} | good | changed).items() for word in pair]
    assert main(["node", "run", *words]) == 2
    assert said in capsys.readouterr().err
