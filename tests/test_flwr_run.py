"""`flwr run .`: the same two apps under Flower's own runtime, to the same bits."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from flwr.cli.build import build_fab_from_disk
from test_laws import numbers

from federated.runs.reading import load

ROOT = Path(__file__).parent.parent
PORT = 39091
"""Where `flwr run` looks for a local SuperLink, and starts one if there is none."""

SETTINGS = (
    'rounds=2 methods="consilium" phantom.sites=3 phantom.patients=12 data.image-size=32 '
    'model.name="convnet" model.width=0.25 train.batch-size=8 train.precision="fp32" '
)


def listening() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def stop_superlink(home: Path) -> None:
    """Stop the SuperLink that `flwr run` left behind: the processes with our home in their name."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if f"FLWR_HOME={home}".encode() in environment and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        except (OSError, ValueError):
            continue


def test_the_bundle_holds_the_three_packages_and_no_more() -> None:
    bundle = build_fab_from_disk(ROOT)
    names = zipfile.ZipFile(io.BytesIO(bundle)).namelist()
    packages = ("federated", "clients", "server")
    expected = {str(p.relative_to(ROOT)) for name in packages for p in (ROOT / name).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == expected
    assert {name for name in names if not name.startswith(packages)} == {
        ".info/CONTENT",
        "LICENSE",
        "pyproject.toml",
    }


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc").exists(), reason="finds the SuperLink through /proc")
def test_flwr_run_gives_the_bits_of_inline(tmp_path: Path, run_tiny) -> None:
    if listening():
        pytest.skip(f"a SuperLink already listens on port {PORT}")
    app, home, folder = tmp_path / "app", tmp_path / "home", tmp_path / "results"
    app.mkdir()
    for name in ("federated", "clients", "server"):
        shutil.copytree(ROOT / name, app / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, app / name)
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    config = f'{SETTINGS} folder="{folder}"'
    command = ["flwr", "run", ".", "--stream", "--run-config", config]
    try:
        done = subprocess.run(
            command, cwd=app, env=environment, capture_output=True, text=True, timeout=240
        )
        deadline = time.monotonic() + 30
        while "run-ended" not in (folder / "events.jsonl").read_text():
            assert time.monotonic() < deadline, done.stdout + done.stderr
            time.sleep(0.5)
    finally:
        stop_superlink(home)
    assert str(folder) in done.stdout + done.stderr
    expected = run_tiny("inline", methods="consilium")
    pd.testing.assert_frame_equal(
        numbers(expected, "consilium"), numbers(load(folder), "consilium"), check_exact=True
    )
