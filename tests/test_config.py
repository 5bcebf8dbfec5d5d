"""Settings: one sentence for every mistake, and a resolved file that gives the same run."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from federated.config import keys, sync
from federated.config.given import flatten, parse_overrides, read_toml
from federated.config.keys import KEYS, reference
from federated.config.presets import METHODS
from federated.config.schema import Config
from federated.config.study import build, parse
from federated.config.writing import parse_run_config, run_config_defaults, to_toml
from federated.errors import UserError
from federated.sweeps.plan import read_sweep

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.local-epoch=2"], "did you mean 'train.local-epochs'"),
        (["rounds=0"], "rounds = 0 is below its least value 1"),
        (["rounds=two"], "rounds = 'two': a whole number is needed"),
        (["rounds=2.5"], "a whole number is needed"),
        (["train.lr=nan"], "train.lr = 'nan': a number is needed"),
        (["train.momentum=1"], "above its greatest value"),
        (["train.optimizer=adamm"], "did you mean 'adam'"),
        (["train.augment=perhaps"], "true or false is needed"),
        (["train.augment=false", "train.augmentation=strong"], "does nothing while train.augment"),
        (["methods=fedvg"], "there is no method 'fedvg' (did you mean 'fedavg'"),
        (["methods=fedavg,fedavg"], "none of them twice"),
        (["methods="], "at least one entry"),
        (["seeds=1,-1"], "seeds = -1 is below"),
        (["rounds"], "write key=value"),
        (["methods=fedavg", "method.fedbm.train.lr=1"], "is not among methods"),
        (["methods=fedavg,fedbn", "sharing.policy=all"], "write it as method.fedavg.sharing"),
        (["methods=fedavg", "method.fedavg.phantom.sites=2"], "same for all methods"),
        (["methods=mine"], "with base = one of"),
        (["methods=moon", "contrast.memory-size=5"], "moon contrasts models and has no memory"),
        (["methods=consilium", "model.norm=group"], "bn.recalibrate needs model.norm = batch"),
        (["methods=pooled", "contrast.memory-size=5"], "uses neither memory-size"),
    ],
)
def test_each_mistake_gets_its_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(parse_overrides(words))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defaults_are_the_dataclasses() -> None:
    assert build({}) == Config()


def test_values_get_their_types_from_text_and_from_toml() -> None:
    text = build({"seeds": "1, 2", "train.lr": "1e-4", "train.augment": "false", "rounds": "3"})
    toml = build({"seeds": [1, 2], "train.lr": 1e-4, "train.augment": False, "rounds": 3})
    assert text == toml
    assert (text.seeds, text.train.lr, text.train.augment) == ((1, 2), 1e-4, False)


def test_underscores_and_hyphens_are_the_same() -> None:
    assert flatten({"train": {"local_epochs": 2}}) == {"train.local-epochs": 2}
    assert parse_overrides(["train.local_epochs=2"]) == {"train.local-epochs": "2"}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_its_preset_on_the_defaults(name: str) -> None:
    config = parse({"methods": name}).by_method[name]
    assert config == build({"methods": name, **METHODS[name].settings})


def test_a_method_of_ones_own_derives_from_another() -> None:
    study = parse({"methods": "fedbn,slow", "method.slow.base": "fedbn", "method.slow.rounds": 3})
    assert study.by_method["slow"].sharing == study.by_method["fedbn"].sharing
    assert (study.by_method["slow"].rounds, study.by_method["fedbn"].rounds) == (3, 10)


def test_a_file_may_define_more_methods_than_run() -> None:
    study = parse({"methods": "fedavg", "method.slow.base": "fedbn", "method.fedbn.rounds": 3})
    assert list(study.by_method) == ["fedavg"]


def test_resolved_file_gives_the_same_study_again() -> None:
    given = {
        "methods": "local,consilium,mine",
        "name": 'with "quotes" and \\',
        "seeds": "0,1",
        "method.mine.base": "fedprox",
        "method.mine.train.proximal-mu": "0.5",
        "train.lr": "0.0003",
        "data.covid-ct": "/a path/with ünïcode",
    }
    study = parse(given)
    again = flatten(tomllib.loads(to_toml(study)))
    assert parse(again) == study


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/**/*.toml")), ids=lambda p: p.name)
def test_every_config_file_parses_and_holds_only_differences(path: Path) -> None:
    given = read_toml(path)
    assert all(run.study for run in read_sweep(path, {}).runs)  # a run's file is a sweep of one
    for key, value in given.items():
        if key != "results" and not key.startswith(("method", "grid.")):
            assert build({key: value}) != build({}), f"{key} is the default already"


def test_flower_defaults_in_pyproject_are_ours() -> None:
    """Flower overrides only keys with a default in pyproject, so each key must be there."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    assert flatten(tables) == run_config_defaults()
    assert parse(parse_run_config(tables)) == parse({})


def test_flower_run_config_can_choose_every_method() -> None:
    for name in METHODS:
        defaults = run_config_defaults()
        given = parse_run_config({**defaults, "methods": name})
        assert parse(given).by_method[name] == parse({"methods": name}).by_method[name]


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no config file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(UserError, match="is a folder"):
        read_toml(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("rounds = = 2")
    with pytest.raises(UserError, match="not valid TOML"):
        read_toml(broken)


def test_all_that_follows_from_settings_and_methods_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert sync.main(["--check"]) == 0, capsys.readouterr().out
    assert all(f"`{name}`" in reference() for name in KEYS)


def test_a_new_setting_or_method_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = replace(KEYS["train.batch-size"], default=999)
    monkeypatch.setitem(vars(keys)["KEYS"], "train.batch-size", new)
    monkeypatch.setattr(sync, "METHODS", {"fedavg": METHODS["fedavg"], "mine": METHODS["fedbn"]})
    assert sync.main(["--check"]) == 1
    out = capsys.readouterr().out
    for name in ("pyproject.toml", "CONFIG.md", "golden/mine.json", "golden/fedprox.json"):
        assert name in out
    assert "batch-size = 999" in sync.with_run_config((ROOT / "pyproject.toml").read_text())
