"""Every command of README and docs is one that there is, and those of the tutorial run."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY

from federated import plots, results
from federated.commands.main import _parser, main
from federated.commands.node_run import words_of
from federated.commands.parsing import parsed
from federated.config.given import parse_overrides, read_config
from federated.config.study import parse
from federated.sweeps.plan import read_sweep

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"^(?: {4}| *\$ |)(consilium \S.*)$", re.MULTILINE)
HOLDS_PLACE = re.compile(r"CONFIG|\[key=value|\[--|=S\b|…")
"""Of the forms of a command, which are no command yet."""


def commands_in(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command of a page that stands in a line of its own."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    for block in re.findall(r"^```console\n(.*?)^```|^((?: {4}.*\n)+)", text, re.M | re.S):
        for line in COMMAND.findall("".join(block)):
            if not HOLDS_PLACE.search(line):
                yield shlex.split(line.replace("$s", "0"), comments=True)[1:]


COMMANDS = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words)}"[:90])
    for page in PAGES
    for words in commands_in(page)
]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_a_page_is_one_that_there_is(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    parser, commands = _parser()
    arguments = parsed(parser, commands.choices, words)
    settings = list(getattr(arguments, "settings", []))
    places = [getattr(arguments, name, None) for name in ("config", "file")]
    files = [str(place) for place in places if place is not None] + settings
    configs = [ROOT / word for word in files if word.startswith("configs/")]
    assert all(path.exists() for path in configs), "a configuration that is not there"
    given = parse_overrides(word for word in files if "=" in word)
    if words[0] == "sweep":
        read_sweep(configs[0], given)
    elif words[0] not in ("new", "resume"):
        parse({**read_config(configs[0] if configs else None), **given})


def test_there_are_commands_to_test() -> None:
    assert len(COMMANDS) > 40


def test_the_units_of_the_deployment_page_start_flower_with_flags_that_it_has() -> None:
    from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink
    from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode

    page = (ROOT / "docs" / "DEPLOY.md").read_text(encoding="utf-8").replace("\\\n", " ")
    superlink, node = map(shlex.split, re.findall(r"^ExecStart=(.+)$", page, re.M))
    assert Path(superlink.pop(0)).name == "flower-superlink"
    _parse_args_run_superlink().parse_args(superlink)
    assert Path(node.pop(0)).name == "consilium"
    told = _parse_args_run_supernode().parse_args(words_of(_parser()[0].parse_args(node)))
    assert (told.superlink, told.host) == ("consilium.example.org:443", "127.0.0.1")
    assert told.node_config == "/etc/consilium/node.toml"


@pytest.mark.slow
def test_the_tutorial_runs_from_its_first_command_to_its_figure(
    tmp_path: Path,
    data_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "TUTORIAL.md"
    small = {**TINY, "rounds": "2", "data.cache": str(data_cache)}
    del small["methods"]
    for words in commands_in(page):
        if words[0] == "doctor":
            continue  # tests/test_doctor.py: what it finds is the machine's
        if words[0] == "new":
            words = [*words, *(f"{key}={value}" for key, value in small.items())]
        assert main(words) == 0, words
    out = capsys.readouterr().out
    assert out.index("nothing was run") < out.index("PASSED: ") < out.index("Each hospital")
    code = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    (figure,) = code
    exec(compile(figure, str(page), "exec"), {"plots": plots, "results": results})  # noqa: S102
    assert (tmp_path / "convergence.pdf").stat().st_size > 0
    assert (tmp_path / "sheet.png").stat().st_size > 0
