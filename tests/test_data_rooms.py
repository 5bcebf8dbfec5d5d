"""The rooms of data: who may import whom, and that sources and formats are declared once."""

import ast
from dataclasses import fields
from pathlib import Path

import federated.data
from federated.config.images import Data
from federated.data.formats.slices import ImageFormat
from federated.data.formats.table import FORMATS
from federated.data.sources.source import Source
from federated.data.sources.table import SOURCES

ROOM = Path(federated.data.__file__).parent
# From bottom to top; a module imports only what stands before its own floor, or on it.
FLOORS = (
    ("names", "files", "site"),
    ("formats",),
    ("sources",),
    ("dealing",),
    ("cache", "entry", "growing"),
    ("importing", "phantoms"),
    ("recipes",),
    ("origins",),
    ("__init__",),
    ("replaced", "checking", "grouping", "classes", "described"),
)


def imported(path: Path) -> set[str]:
    """Return the modules or rooms of data that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[:2] == ["federated", "data"]:
                found |= {parts[2]} if parts[2:] else {_module(alias.name) for alias in node.names}
            elif node.module == "federated" and any(one.name == "data" for one in node.names):
                found.add("__init__")
    return found


def _module(name: str) -> str:
    """Return the module of what is imported from the package itself."""
    is_module = (ROOM / name).is_dir() or (ROOM / f"{name}.py").is_file()
    return name if is_module else "__init__"


def test_rooms_import_only_downwards() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    files = sorted(ROOM.rglob("*.py"))
    assert len(files) > 30
    for path in files:
        own = path.relative_to(ROOM).parts[0].removesuffix(".py")
        for name in imported(path):
            assert floor[name] <= floor[own], f"{path} imports {name}"


def test_every_module_of_a_source_or_format_is_in_its_table() -> None:
    for room, kind, table in (("sources", Source, SOURCES), ("formats", ImageFormat, FORMATS)):
        declared = []
        for path in (ROOM / room).glob("*.py"):
            name = f"federated.data.{room}.{path.stem}"
            module = __import__(name, fromlist=["x"])
            declared += [one for one in vars(module).values() if isinstance(one, kind)]
        assert {id(one) for one in declared} == {id(one) for one in table}


def test_every_source_has_a_setting_and_is_documented() -> None:
    text = (ROOM.parents[1] / "docs" / "DATA.md").read_text()
    known = {field.name: field.metadata["meaning"] for field in fields(Data)}
    for source in SOURCES:
        assert known[source.setting]
        assert f"`{source.key}=" in text, f"{source.key} is not in docs/DATA.md"
    for format in FORMATS:
        assert format.name in text
