"""The pages name what is there: files, folders, modules, and each other."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "federated|clients|server|tests|benchmarks|configs"
PATH = re.compile(rf"(?<![\w./-])(?:\.venv/bin/)?((?:{FOLDERS})/[\w./*-]*)")
MODULE = re.compile(r"(?<![\w./-])(federated(?:\.[a-zA-Z_]\w*)+)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


def missing_paths(text: str) -> list[str]:
    """Return the paths of ours that a page names and that are not there; ``*`` stands for any."""
    named = {found.rstrip(".-/") for found in PATH.findall(text)}
    return sorted(path for path in named if not any(ROOT.glob(path)))


def is_there(name: str) -> bool:
    """Return whether a dotted name is a module of ours, or something in one."""
    for cut in range(name.count(".") + 1, 0, -1):
        parts = name.split(".")
        path = ROOT.joinpath(*parts[:cut])
        if path.with_suffix(".py").exists() or (path / "__init__.py").exists():
            thing: object = import_module(".".join(parts[:cut]))
            for part in parts[cut:]:
                thing = getattr(thing, part, None)
            return thing is not None
    return False


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where the page is shown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_module_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    assert missing_paths(text) == []
    assert sorted(name for name in set(MODULE.findall(text)) if not is_there(name)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("text", ["`federated/tables.py`", "tests/test_no.py.", "(server/no/)"])
def test_a_path_that_is_gone_is_found(text: str) -> None:
    assert len(missing_paths(text)) == 1
    assert missing_paths("`.venv/bin/python -m pytest tests/test_docs.py`, tests/*.py.") == []


@pytest.mark.parametrize("name", ["federated.tables", "federated.plots.tulip"])
def test_a_module_that_is_gone_is_found(name: str) -> None:
    assert not is_there(name) and is_there("federated.plots.convergence")


def test_the_tree_of_rooms_is_that_of_the_folder() -> None:
    tree = re.search(r"```\n(federated/\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tree
    named = re.findall(r"^  (\S+)", tree[1], re.MULTILINE)
    rooms = {path.parent.name + "/" for path in ROOT.glob("federated/*/__init__.py")}
    files = {path.name for path in ROOT.glob("federated/*.py")}
    assert set(named) == rooms | (files - {"__init__.py", "__main__.py", "results.py"})
    assert len(named) == len(set(named))
