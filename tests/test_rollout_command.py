"""The commands that ask a run folder: what they print, write, and say if they cannot answer."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import RunTiny
from rollouts import made_up, write_rollout
from test_plots import METHOD_NAMES, full_rows, write_run
from test_rollout_answers import SITES, metric_rows, tiny
from test_rollout_plots import BUSY, FIVE

from federated.answers import MEANINGS, answer_named, benefit, waiting
from federated.commands import main as cli
from federated.plots.terminal import printed as printed_table

FIGURES = {
    "benefit": {"target", "benefit"},
    "waiting": {"waiting"},
    "cost": {"cost"},
    "joining": {"joining"},
    "disturbances": {"disturbances"},
}


@pytest.mark.parametrize("name", MEANINGS)
def test_an_answer_is_printed_as_the_page_has_it_and_written_in_full(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_up(tmp_path, FIVE, 12, BUSY)
    assert cli.main([name, str(tmp_path)]) == 0
    printed = capsys.readouterr()
    declared = answer_named(name)
    for table in declared.tables:
        assert table.title in printed.out
        assert " ".join(table.note.split()) in " ".join(printed.out.split())
        assert printed_table(table.rows(run)) in printed.out
    written = pd.read_csv(tmp_path / "answers" / f"{name}.csv")
    pd.testing.assert_frame_equal(
        written, declared.numbers(run), check_dtype=False, check_index_type=False
    )
    for stem in FIGURES[name]:
        for kind in ("png", "pdf"):
            path = tmp_path / "answers" / f"{stem}.{kind}"
            assert path.stat().st_size > 0 and str(path) in printed.out
    # Made up without the event that a run ends with.
    assert "has not ended" in printed.err


def test_an_ended_run_is_not_called_unfinished(
    run_tiny: RunTiny, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_tiny(
        methods="local,fedavg",
        **{"rollout.image-seconds": 60, "rollout.hospital.phantom-3.outages": "1"},
    )
    for name in ("benefit", "waiting", "cost", "disturbances"):
        assert cli.main([name, str(run.folder)]) == 0
    assert "has not ended" not in capsys.readouterr().err
    pd.testing.assert_frame_equal(
        pd.read_csv(run.folder / "answers" / "waiting.csv"), waiting.numbers(run), check_dtype=False
    )


def test_another_target_may_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"rollout.target-auc": 0.78, "rollout.hospital.birch.target-auc": 0.65}
    run = tiny(tmp_path, **settings)
    assert cli.main(["benefit", str(tmp_path), "--target", "0.7"]) == 0
    table = benefit.numbers(run, 0.7).query("method == 'fedavg'")
    # Alder has 0.7 in its first evaluation and stays; birch has only two.
    assert table["target"].to_list() == [0.7, 0.7]
    assert table["reached_hours"].fillna(-1).to_list() == [12, -1]
    out = " ".join(capsys.readouterr().out.split())
    assert "at least the target, 0.7, and stays there" in out


def test_a_long_table_is_cut_on_the_screen_and_whole_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(tmp_path, [f"s{i:02d}" for i in range(70)], 2, {})
    assert cli.main(["waiting", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "… and 10 more rows" in printed and "\ns59" in printed and "\ns60" not in printed
    written = pd.read_csv(tmp_path / "answers" / "waiting.csv")
    assert len(written.query("method == 'fedavg'")) == 70


def test_what_there_is_nothing_to_tell_of_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up(tmp_path, FIVE[:2], 2, {})
    assert cli.main(["disturbances", str(tmp_path)]) == 0
    assert "no outage, garbage, new scanner or departure" in capsys.readouterr().out
    assert cli.main(["joining", str(tmp_path)]) == 0
    assert "nobody has joined" in capsys.readouterr().out
    assert not (tmp_path / "answers").exists()


def test_a_table_without_a_picture_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in metric_rows() if row[0] == "fedavg"]
    spans = list(tiny(tmp_path / "whole").timeline.query("method == 'fedavg'").to_numpy())
    write_rollout(tmp_path, rows, spans, sites=SITES, methods=["fedavg"])
    assert cli.main(["cost", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "no picture cost: " in printed and "(local)" in printed
    assert cli.main(["benefit", str(tmp_path)]) == 2
    assert "give one with --target AUC" in capsys.readouterr().err
    assert cli.main(["benefit", str(tmp_path), "--target", "0.7"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["waiting"], "it is no rollout"),
        (["benefit", "--target", "1.5"], "--target 1.5 is no AUC"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--target" in words:
        tiny(tmp_path)
    else:
        write_run(tmp_path, full_rows(), METHOD_NAMES)
    assert cli.main([*words, str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err
    assert cli.main([*words, str(tmp_path / "nowhere")]) == 2
    assert "holds no run" in capsys.readouterr().err
