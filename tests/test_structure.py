"""The shape of the code: who may import whom, and no way to run code from a file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "federated": {"clients", "server"},
    "clients": {"server"},
    "server": {"clients"},
}


ROOMS = (
    "errors",
    "seeding",
    "storage",
    "lazy",
    "processor",
    "config",
    "masks",
    "exchange",
    "learning",
    "rollout",
    "phantom",
    "data",
    "dp",
    "methods",
    "runs",
    "statistics",
    "unseen",
    "plots",
    "answers",
    "engine",
    "questions",
    "report",
    "audit",
    "sweeps",
    "deploy",
    "commands",
)
"""The rooms of ``federated`` from the bottom to the top; each uses only those before it."""

DOORS = {"results", "__main__"}
"""What a reader imports from outside, beside the rooms; no room uses it."""


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_only_downwards(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not imports(path) & FORBIDDEN[package], path


def rooms_used(path: Path) -> set[str]:
    """Return the rooms of ``federated`` that a file imports, wherever in the file."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        used |= {name.split(".")[1] for name in names if name.startswith("federated.")}
    return used - {"__version__"}


def test_every_room_has_its_place() -> None:
    federated = ROOT / "federated"
    there = {path.stem for path in federated.glob("*.py")} - {"__init__"}
    there |= {path.parent.name for path in federated.glob("*/__init__.py")}
    assert there - DOORS == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_only_rooms_below_it(room: str) -> None:
    federated = ROOT / "federated"
    files = [*(federated / room).rglob("*.py"), *federated.glob(f"{room}.py")]
    below = {*ROOMS[: ROOMS.index(room) + 1]}
    upwards = {str(path.relative_to(ROOT)): rooms_used(path) - below for path in files}
    assert {path: rooms for path, rooms in upwards.items() if rooms} == {}


def test_training_knows_neither_flower_nor_ray() -> None:
    federated = ROOT / "federated"
    exchange = [federated / "exchange" / f"{name}.py" for name in ("sharing", "exact")]
    for path in (*(federated / "learning").rglob("*.py"), *exchange):
        assert not imports(path) & {"flwr", "ray"}, path


def test_only_the_engine_touches_flowers_inside() -> None:
    for package in FORBIDDEN:
        for path in (ROOT / package).rglob("*.py"):
            inside = "flwr.supercore" in path.read_text()
            assert inside == (path == ROOT / "federated" / "engine" / "grid.py"), path


def test_nothing_loads_a_pickle() -> None:
    for package in FORBIDDEN:
        for path in (ROOT / package).rglob("*.py"):
            assert not imports(path) & {"pickle", "cloudpickle", "dill", "joblib"}, path
            assert "torch.load" not in path.read_text(), path
            assert "allow_pickle=True" not in path.read_text(), path
