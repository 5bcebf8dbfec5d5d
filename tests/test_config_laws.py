"""Whatever parses can be written, read back, and read by a site, to the same study."""

from pathlib import Path
from typing import Any

import pytest
from fuzz_config import fuzz, goes_round
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.commands.main import main
from federated.config import Common, Config, Study, parse, same_numbers
from federated.config.given import flatten, hyphenated, parse_toml, read_config
from federated.config.keys import CALENDAR, KEYS, Key
from federated.config.schema import METHOD_SECTIONS
from federated.config.writing import (
    parse_run_config,
    run_config_defaults,
    run_config_of,
    to_toml,
)
from federated.engine import run
from federated.errors import UserError
from federated.questions.trials import trial
from server.opening import opened
from server.relay import Relay


def values(key: Key) -> st.SearchStrategy[Any]:
    if key.choices:
        return st.sampled_from(key.choices)
    if key.type is bool:
        return st.booleans()
    if key.type is int:
        return st.integers(int(key.low or 0), int(key.high or 2**63 - 1))
    if key.type is float:
        return st.floats(key.low, key.high, allow_nan=False, allow_infinity=False)
    if key.type is str:
        return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    return st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True)


# These two are read as a file's name and as a module's, not merely kept.
FREE = [name for name in KEYS if name not in ("methods", "rollout.scenario", "name")]
some_settings = st.lists(st.sampled_from(FREE), unique=True, max_size=5).flatmap(
    lambda names: st.fixed_dictionaries({name: values(KEYS[name]) for name in names})
)
hospitals = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.sampled_from(list(CALENDAR)).flatmap(lambda n: st.tuples(st.just(n), values(CALENDAR[n]))),
    max_size=2,
)


@settings(max_examples=60, deadline=None)
@given(some_settings, hospitals)
def test_whatever_parses_goes_round(chosen: dict[str, Any], tables: dict[str, Any]) -> None:
    for hospital, (name, value) in tables.items():
        chosen[f"rollout.group.{hospital}.{name}"] = value
    try:
        study = parse(chosen)
    except UserError:
        return
    assert parse(parse_toml(to_toml(study), "config.toml")) == study
    assert parse(parse_run_config(run_config_of(study))) == study


def test_hundreds_of_wrong_settings_get_a_sentence_each() -> None:
    counts, faults = fuzz(400, seed=0)
    assert not faults
    assert counts["ok"] > 40 and counts["sentence"] > 150


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rounds = 1\nrounds = 2", "not valid TOML"),
        ("x = " + "[" * 3000, "not valid TOML"),
        ("rounds = " + "9" * 5000, "not valid TOML"),
        ("train.lr = 1e999", "train.lr = inf: a number is needed"),
        ("seeds = [1.5]", "a comma-separated list of whole numbers is needed"),
        ("seeds = [[1], [2]]", "a comma-separated list of whole numbers is needed"),
        ("rounds = true", "rounds = True: a whole number is needed"),
        ("rounds = 2026-01-05", "a whole number is needed"),
        ("rounds = 9223372036854775808", "a whole number is needed"),
        ('"train.lr" = 1\ntrain.lr = 2', "'train.lr' is set twice"),
        ("train.local_epochs = 1\ntrain.local-epochs = 2", "'train.local-epochs' is set twice"),
        ("train = 1", "there is no setting 'train'"),
        ("method.x = 3", "write [method.NAME] with settings in it"),
        ("method.fedavg.base = 3\nmethods = 'fedavg'", "the name of a method is needed"),
        ('name = "a\\nb"', "1 to 100 printable letters"),
        ('folder = "a\\u0000b"', "text (UTF-8, no NUL) is needed"),
        ("methods = '../escaped'", "is no name of a method"),
        ("methods = 'sites'\nmethod.sites.base = 'fedavg'", "is no name of a method"),
    ],
)
def test_what_toml_can_say_and_a_run_cannot_be(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(parse_toml(text, "this file"))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        read_config(path)
    with pytest.raises(UserError, match="text \\(UTF-8, no NUL\\) is needed"):
        parse({"folder": "\udce9"})  # as the command line brings such bytes


def test_a_sentence_quotes_no_more_than_a_line() -> None:
    for given_ in ({"x" * 400: 1}, {"name": "x" * 400}, {"train.optimizer": "x" * 400}):
        with pytest.raises(UserError) as caught:
            parse(given_)
        assert "x" * 100 not in str(caught.value)


def test_text_with_every_letter_comes_back_from_the_file() -> None:
    odd = "".join(map(chr, range(1, 0x250))) + '"""' + "'''\\"
    goes_round({"folder": odd, "rollout.hospital.a b.c.leave": odd})


def test_a_node_sets_things_of_its_own_beside_the_resolved_study() -> None:
    told = run_config_of(parse({"methods": "fedavg", "data.slices": 3}))
    study = parse(parse_run_config({**told, "data.cache": "/here"}))
    assert (study.common.data.cache, study.common.data.slices) == ("/here", 3)


def test_a_list_holds_no_comma_that_the_command_line_would_split() -> None:
    assert parse({"sharing.private": "a,b"}).by_method["consilium"].sharing.private == ("a", "b")
    with pytest.raises(UserError, match="a comma-separated list is needed"):
        parse({"sharing.private": ["a,b"]})


def test_a_method_keeps_the_underscores_of_its_name() -> None:
    assert hyphenated("method.my_own.train.local_epochs") == "method.my_own.train.local-epochs"
    study = parse(flatten({"methods": ["my_own"], "method": {"my_own": {"base": "fedbn"}}}))
    assert list(study.by_method) == ["my_own"]


def other(key: Key) -> Any:
    """Return a value of a setting that is not its default."""
    if key.choices:
        return next(choice for choice in key.choices if choice != key.default)
    if key.type is bool:
        return not key.default
    if key.type is float:
        return next(v for v in (key.low, key.high, 7.0) if v is not None and v != key.default)
    if key.type is int:
        return key.default + 1
    return "7" if key.type is not str else "other"


def test_only_marked_settings_may_differ_between_same_numbers() -> None:
    marked = {name for name, key in KEYS.items() if not key.changes_bits}
    engine = (
        *("kind", "workers", "address", "vaults", "retries", "timeout"),
        *("registration", "quorum", "rebind"),
    )
    assert marked == {f"engine.{name}" for name in engine} | {
        "folder",
        "modules",
        "track",
        "data.cache",
        "server.min-sites",
        "statistics.ask",
        "statistics.epsilon",
        "statistics.minimum",
    }
    asked = {"methods": "fedavg,fedbn", "phantom.sites": 1, "model.start-sha256": "a digest"}
    private = {"privacy.unit": "site", "privacy.clip": 2.0, "privacy.noise": 2.0}
    alone = {"methods", "rollout.scenario", "sharing.policy", "train.pooled", "privacy.unit"}
    classes = {"methods": "fedavg,fedbn", "data.folder": "images", "phantom.sites": 0}
    named = {**classes, "data.classes": "normal,pneumonia,covid"}
    assert not same_numbers(parse(classes), parse(named))  # of images in folders only
    alone |= {"data.classes"}
    for name in set(KEYS) - alone:  # which no run can have changed by themselves
        if name.startswith("privacy."):
            asked |= private
        changed = {**asked, name: other(KEYS[name])}
        assert same_numbers(parse(asked), parse(changed)) == (name in marked), name


def test_what_differs_by_method_cannot_be_asked_of_all() -> None:
    study = parse({"methods": "fedavg", "train.lr": 0.5})
    assert type(study.common) is Common and isinstance(study.by_method["fedavg"], Config)
    for section in METHOD_SECTIONS:
        assert not hasattr(study.common, section)
    assert isinstance(study, Study) and study.by_method["fedavg"].train.lr == 0.5


def test_resume_the_record_and_questions_agree_on_what_may_differ(
    tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    """One mark, read by all three: each admits what is marked and refuses what is not."""
    given_ = tiny(rounds=1, engine__kind="inline")
    folder = Path(given_["folder"])
    run(given_)
    free = {"engine.retries": "7", "engine.timeout": "99", "engine.workers": "1", "modules": "x"}
    run({**given_, **free})
    assert trial(given_, folder, free).folder == folder
    words = [f"{key}={value}" for key, value in free.items()]
    assert main(["resume", str(folder), *words, "--quiet", "--no-report"]) == 0
    for name, value in {"engine.threads": "2", "engine.gpus": "0.5", "train.lr": "0.5"}.items():
        changed = parse({**given_, name: value})
        with (
            pytest.raises(UserError, match="holds a run with other settings"),
            opened(folder, changed, None, relay=Relay()),
        ):
            pass
        with pytest.raises(UserError, match="holds a run with other settings"):
            trial(given_, folder, {name: value})
        assert main(["resume", str(folder), f"{name}={value}"]) == 2
        assert f"{name} would change the numbers" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["covid-ct", "sars-cov-2", "manifest", "folder"])
def test_once_images_are_named_there_are_no_phantoms_unless_asked_for(source: str) -> None:
    named = {f"data.{source}": "somewhere"}
    assert parse({}).common.phantom.sites == 4
    assert parse(named).common.phantom.sites == 0
    assert parse({**named, "phantom.patients": 9}).common.phantom.sites == 0
    assert parse({**named, "phantom.sites": 3}).common.phantom.sites == 3
    from_flower = parse_run_config({**run_config_defaults(), **named})
    assert parse(from_flower).common.phantom.sites == 0
