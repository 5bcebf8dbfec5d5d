"""Resumed equals never stopped, wherever it stopped."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Context, Message
from PIL import Image
from test_laws import numbers
from test_messages import load_with

from clients.app import app as client_app
from federated.commands.main import main
from federated.config.given import parse_toml
from federated.config.study import parse
from federated.config.writing import to_toml
from federated.engine import run
from federated.errors import UserError
from federated.runs.reading import load
from server.cell import RunStoppedError

MESSAGES = 3 + 2 * 3 * 3 + 3
"""Of a run of 3 sites and 3 rounds: registration, training and evaluation, last steps."""


class PowerCutError(BaseException):
    """Not an Exception: nothing in the client may catch it."""


def cut_after(count: int):
    left = [count]

    def client(message: Message, context: Context) -> Message:
        if left[0] == 0:
            raise PowerCutError
        left[0] -= 1
        return client_app(message, context)

    return client


def files(folder: Path) -> dict[str, bytes]:
    paths = [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".csv")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name != "metrics.csv"}


def same_files(one: Path, other: Path) -> None:
    a, b = files(one), files(other)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == b[name], name


@pytest.mark.parametrize("count", [1, 5, 8, 10, 14, 20, MESSAGES - 1])
def test_resumed_is_uninterrupted(tiny, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "methods": "consilium",
        "rounds": 3,
        "train__optimizer_state": "keep",
        "personalise__epochs": 1,
        "server__optimizer": "momentum",
    }
    whole, cut = tiny("whole", **settings), tiny("cut", **settings)
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(count)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    expected, found = load(whole["folder"]), load(cut["folder"])
    pd.testing.assert_frame_equal(
        numbers(expected, "consilium"), numbers(found, "consilium"), check_exact=True
    )
    same_files(expected.folder, found.folder)
    assert list(found.events["kind"]).count("round-ended") == 3


@pytest.mark.parametrize("rule", ["last", "smoothed"])
def test_resumed_keeps_the_same_model_by_every_rule(
    tiny, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"phantom__sites": 2, "rounds": 7, "methods": "fedbn", "keep__rule": rule}
    whole, cut = tiny("whole", **few), tiny("cut", **few)
    run(whole)
    # In round 6 one hospital has evaluated, and with it judged five rounds, and the other has not.
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(2 + 5 * 4 + 3)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    same_files(Path(whole["folder"]), Path(cut["folder"]))
    kept = load(cut["folder"]).selected("val")
    assert (
        set(kept["kept_round"]) == {7} if rule == "last" else set(kept["kept_round"]) <= {5, 6, 7}
    )


def test_a_second_cell_resumes_without_repeating_the_first(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (tiny(name, methods="fedavg,moon") for name in ("whole", "cut"))
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(3 + 15 + 7)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    run(cut)
    for method in ("fedavg", "moon"):
        expected, found = (numbers(load(g["folder"]), method) for g in (whole, cut))
        pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tiny) -> None:
    whole, cut = tiny("whole", rounds=3), tiny("cut", rounds=3)
    run(whole)
    run(cut)
    cell = Path(cut["folder"]) / "fedavg" / "seed-0"
    last = cell / "round-000003.safetensors"
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    run(cut)
    assert files(Path(whole["folder"])) == files(Path(cut["folder"]))
    expected, found = (numbers(load(g["folder"]), "fedavg") for g in (whole, cut))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)


def test_a_finished_run_stays_as_it_is(tiny) -> None:
    given = tiny()
    run(given)
    before = files(Path(given["folder"]))
    metrics = (Path(given["folder"]) / "metrics.csv").read_bytes()
    run(given)
    assert files(Path(given["folder"])) == before
    assert (Path(given["folder"]) / "metrics.csv").read_bytes() == metrics


def cut(tiny, monkeypatch: pytest.MonkeyPatch, **settings: object) -> dict[str, str]:
    """Return the settings of a run of three rounds that was cut in its third."""
    given = tiny("cut", rounds=3, methods="fedbn", **settings)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(3 + 2 * 6 + 1)))
    with pytest.raises(PowerCutError):
        run(given)
    monkeypatch.undo()
    return given


def vault_of(given: dict[str, str], site: str = "phantom-2") -> Path:
    return Path(given["folder"]) / "sites" / site / "fedbn" / "seed-0"


@pytest.mark.parametrize("half", ["safetensors", "json"])
def test_a_damaged_vault_repeats_the_round_before(
    tiny, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    whole = tiny("whole", rounds=3, methods="fedbn")
    run(whole)
    given = cut(tiny, monkeypatch)
    newest = vault_of(given) / f"round-000002.{half}"
    newest.write_bytes(newest.read_bytes()[:-7])
    run(given)
    assert files(Path(whole["folder"])) == files(Path(given["folder"]))
    expected, found = (numbers(load(g["folder"]), "fedbn") for g in (whole, given))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    assert "round-repeated" in set(load(given["folder"]).events["kind"])


def test_a_lost_or_foreign_vault_stops_the_run_by_name(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = cut(tiny, monkeypatch)
    vault, other = vault_of(given), vault_of(given, "phantom-1")
    aside = vault.with_name("aside")
    vault.rename(aside)
    with pytest.raises(RunStoppedError, match=r"phantom-2: its vault .*sites/phantom-2/site\.log"):
        run(given)
    shutil.rmtree(vault, ignore_errors=True)
    shutil.copytree(other, vault)
    with pytest.raises(RunStoppedError, match="phantom-2: its vault"):
        run(given)
    assert (
        "of site 'phantom-1' and not of 'phantom-2'"
        in (Path(given["folder"]) / "sites" / "phantom-2" / "site.log").read_text()
    )
    shutil.rmtree(vault)
    aside.rename(vault)
    run(given)
    assert "run-ended" in set(load(given["folder"]).events["kind"])


def test_a_checkpoint_of_another_run_is_refused(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run(other := tiny("other", rounds=3, methods="fedbn"))
    given = cut(tiny, monkeypatch)
    cell = Path(given["folder"]) / "fedbn" / "seed-0"
    shutil.rmtree(cell)
    shutil.copytree(Path(other["folder"]) / "fedbn" / "seed-0", cell)
    with pytest.raises(UserError, match=r"is of run .* and not of .*: it was put here from"):
        run(given)


def test_checkpoints_that_are_all_damaged_begin_nothing_anew(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = cut(tiny, monkeypatch)
    for path in (Path(given["folder"]) / "fedbn" / "seed-0").glob("round-*.json"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"all checkpoints in .* are damaged"):
        run(given)


def test_a_table_shorter_than_its_checkpoint_is_never_filled_up(
    tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = cut(tiny, monkeypatch)
    metrics = Path(given["folder"]) / "metrics.csv"
    content = metrics.read_bytes()[:200]
    metrics.write_bytes(content)
    with pytest.raises(
        UserError, match=r"metrics\.csv is damaged: it has 139 bytes of fedbn with seed 0"
    ):
        run(given)
    assert metrics.read_bytes() == content


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("rounds = 3", "rounds = 4", "rounds was 3 and is now 4"),
        ("seeds = [0]", "seeds = [1]", "seeds was"),
        ("train.lr = 0.001", "train.lr = 0.1", "train.lr was 0.001 and is now 0.1"),
        ('train.precision = "fp32"', 'train.precision = "bf16"', "train.precision was 'fp32'"),
    ],
)
def test_an_edited_configuration_is_refused_by_name(
    tiny, capsys: pytest.CaptureFixture[str], before: str, after: str, sentence: str
) -> None:
    given = tiny(rounds=3, methods="fedbn")
    run({**given, "rounds": "3"})
    config = Path(given["folder"]) / "config.toml"
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))
    assert main(["resume", given["folder"], "--no-report"]) == 2
    told = capsys.readouterr().err
    assert "holds a run with other settings" in told and sentence in told


def test_a_run_that_is_at_work_has_no_second_writer(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    given, sentences = tiny(rounds=1, methods="fedavg"), []

    def client(message: Message, context: Context) -> Message:
        if not sentences:
            sentences.append("")
            with pytest.raises(UserError) as caught:
                run(given)
            sentences[0] = str(caught.value)
        return client_app(message, context)

    monkeypatch.setattr("federated.engine.running.load_app", load_with(client))
    run(given)
    assert f"is in use: process {os.getpid()} works on that run" in sentences[0]
    steps = load(given["folder"]).metrics.query("metric == 'steps'")
    assert len(steps) == 3


def test_a_run_goes_on_from_another_folder(tiny, tmp_path, monkeypatch) -> None:
    images = tmp_path / "images"
    generator = np.random.default_rng(0)
    for site in ("north", "south"):
        for label in ("COVID", "non-COVID"):
            (images / site / label).mkdir(parents=True)
            for number in range(12):
                pixels = generator.integers(0, 255, (40, 40), dtype=np.uint8)
                Image.fromarray(pixels).save(images / site / label / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    given = {**tiny(rounds=1, methods="fedavg"), "data.folder": "images", "phantom.sites": "0"}
    run({**given, "data.duplicate-correlation": "1"})
    monkeypatch.chdir("/")
    assert main(["resume", given["folder"], "--no-report"]) == 0
    assert load(given["folder"]).study.common.data.folder == str(images)


def test_a_newer_setting_of_an_older_run_has_its_default(tiny) -> None:
    """A table that the run itself wrote is not filled from the preset of today."""
    study = parse(tiny(methods="consilium"))
    text = to_toml(study)
    older = [line for line in text.splitlines() if not line.startswith("bn.recalibrate =")]
    again = parse(parse_toml("\n".join(older), "an older run"))
    assert study.by_method["consilium"].bn.recalibrate
    assert not again.by_method["consilium"].bn.recalibrate


def test_another_run_is_refused_the_folder(tiny) -> None:
    run(tiny(rounds=1))
    with pytest.raises(UserError, match="holds a run with other settings"):
        run(tiny(rounds=2))
