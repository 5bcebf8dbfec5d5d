"""Flags for settings, words that are none, completion, and a new configuration file."""

import shutil
import subprocess
from pathlib import Path

import pytest

from federated.commands.main import _parser, main
from federated.commands.parsing import parsed
from federated.config.given import parse_overrides, read_toml
from federated.config.keys import KEYS
from federated.config.study import parse
from federated.errors import UserError


def settings_of(*words: str) -> dict[str, object]:
    parser, commands = _parser()
    return dict(parse_overrides(parsed(parser, commands.choices, list(words)).settings))


@pytest.mark.parametrize(
    "words",
    [
        ("rounds=5", "train.local-epochs=2"),
        ("--rounds", "5", "--train.local-epochs", "2"),
        ("--rounds=5", "--train.local_epochs=2"),
        ("--quiet", "--rounds", "5", "--no-report", "train.local-epochs=2"),
    ],
    ids=" ".join,
)
def test_a_setting_is_written_in_three_ways(words: tuple[str, ...]) -> None:
    given = settings_of("run", "some.toml", *words)
    assert given == {"rounds": "5", "train.local-epochs": "2"}


def test_settings_of_a_verb_may_stand_after_its_options_and_be_flags() -> None:
    given = settings_of("data", "check", "--picture", "a.png", "rounds=5", "--seeds", "1")
    assert given == {"rounds": "5", "seeds": "1"}


def test_an_option_of_the_command_is_never_taken_for_a_setting() -> None:
    parser, commands = _parser()
    words = ["what-if", "a.toml", "--to", "here", "--if", "rounds=3", "rounds=5"]
    arguments = parsed(parser, commands.choices, words)
    assert arguments.alternatives == [["rounds=3", "rounds=5"]]
    assert arguments.to == Path("here")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["rn"], "no command 'rn' (did you mean 'run'?)"),
        (["run", "--roudns", "3"], "no option '--roudns' (did you mean '--rounds'?)"),
        (["run", "--rounds"], "--rounds needs a value"),
        (["run", "--rounds", "--seeds", "1"], "--rounds needs a value"),
        (["report"], "the following arguments are required: RUN"),
        (["checklist", "here", "rounds=3"], "consilium checklist takes no 'rounds=3'"),
        (["run", "--qiet"], "no option '--qiet' (did you mean '--quiet'?)"),
        (["run", "--a=b"], "no option '--a'"),
        (["methods", "a=b"], "consilium methods takes no 'a=b'"),
        (["methods", "--all"], "consilium methods takes no '--all'"),
        (["data", "check", "--pictur"], "no option '--pictur' (did you mean '--picture'?)"),
        (["data", "chek"], "invalid choice: 'chek'"),
        (["config", "qqqq"], "no setting has 'qqqq'"),
        ([], "COMMAND"),
        (["new", "x.yaml"], "ends in .toml"),
        (["new", "nowhere/x.toml"], "there is no folder nowhere"),
        (["new", "x.toml", "rounds=none"], "rounds = 'none': a whole number is needed"),
        (["runs", "nowhere"], "there is no folder nowhere"),
        (["watch", "nowhere"], "nowhere holds no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_gets_one_sentence(
    words: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = main(words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    told = capsys.readouterr().err
    assert status == 2
    assert sentence in told
    assert told.startswith("consilium: ") and len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_filter_lists_the_settings_with_the_word_in_name_or_meaning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "momentum"]) == 0
    names = [
        line.split(" = ")[0] for line in capsys.readouterr().out.splitlines() if line[0] != " "
    ]
    wanted = [n for n, key in KEYS.items() if "momentum" in n or "momentum" in key.meaning.lower()]
    assert names == wanted
    assert 0 < len(names) < len(KEYS)


def test_a_new_file_reads_back_as_what_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    words = ["rounds=7", "methods=local,fedbn", "name=with-images", f"data.folder={tmp_path}"]
    assert main(["new", str(file), *words]) == 0
    study = parse(read_toml(file))
    assert study.common.methods == ("local", "fedbn")
    assert study.common.phantom.sites == 0  # one's own images are not mixed with synthetic ones
    assert {config.rounds for config in study.by_method.values()} == {7}
    assert {config.train.precision for config in study.by_method.values()} == {"fp32"}
    assert main(["new", str(file)]) == 2  # never over a file
    assert "is there already" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_commands_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out

    def completed(*words: str) -> set[str]:
        typed = " ".join(f"'{word}'" for word in words)
        ask = (
            f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; COMP_LINE='x'; "
            'complete_with=$(complete -p consilium | sed "s/.*-F \\([^ ]*\\).*/\\1/"); '
            '$complete_with; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
        return set(done.stdout.split())

    assert completed("consilium", "wat") == {"watch"}
    assert "train.local-epochs=" in completed("consilium", "run", "x.toml", "train.loc")


def test_an_unknown_command_never_ends_as_a_traceback_of_another() -> None:
    parser, commands = _parser()
    with pytest.raises(UserError, match="there is no command"):
        parsed(parser, commands.choices, ["x" * 5000])
