"""Contributions and orders of going live: games solved by hand, and real ones in miniature."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest

from federated.commands import main as cli
from federated.config.rollout import Calendar, Rollout
from federated.questions.contribution import leave_one_out, orders_to_play, shapley, worth
from federated.questions.order import given_queue, queues_to_try, settings_of, slots
from federated.rollout.scenario import scenario_of

PAIR_GAIN = {frozenset("ab"): 0.2, frozenset("ac"): 0.1, frozenset("bc"): 0.0}


def aucs(coalition: frozenset[str]) -> pd.Series:
    """Return AUCs in which each pair of members gives both of them its gain."""
    gains = {
        site: sum(gain for pair, gain in PAIR_GAIN.items() if pair <= coalition and site in pair)
        for site in coalition
    }
    return pd.Series({site: 0.6 + gain for site, gain in sorted(gains.items())})


def test_worth_by_hand() -> None:
    assert worth(aucs, frozenset("a")) == worth(aucs, frozenset()) == 0.0
    assert worth(aucs, frozenset("ab")) == pytest.approx(0.4)
    assert worth(aucs, frozenset("abc")) == pytest.approx(0.6)


def test_leave_one_out_by_hand() -> None:
    table = leave_one_out(aucs, ["a", "b", "c"], ["a", "c"]).set_index("site")
    assert table.loc["a", "own gain"] == pytest.approx(0.3)
    assert table.loc["a", "others' gain"] == pytest.approx((0.2 + 0.1) / 2)
    assert table.loc["c", "own gain"] == pytest.approx(0.1)
    assert table.loc["c", "others' gain"] == pytest.approx(0.05)
    assert table.loc["c", "worst other"] == pytest.approx(0.0)


def test_shapley_shares_each_pairs_gain_evenly_and_leaves_nothing_over() -> None:
    table = shapley(aucs, orders_to_play("abc", 5, 0)).set_index("site")["shapley"]
    # A pair's worth is twice its gain; in a game of pairs each gets half of the pairs it is in.
    assert table.to_dict() == pytest.approx({"a": 0.3, "b": 0.2, "c": 0.1})
    assert table.sum() == pytest.approx(worth(aucs, frozenset("abc")))


def test_all_orders_of_few_hospitals_and_drawn_ones_of_many() -> None:
    assert sorted(orders_to_play("cab", 2, 0)) == sorted(permutations("abc"))
    drawn = orders_to_play("abcdefgh", 7, 3)
    assert len(drawn) == 7 and all(sorted(order) == list("abcdefgh") for order in drawn)
    assert drawn == orders_to_play("hgfedcba", 7, 3)


TABLES = (
    ("hospital.a", Calendar(go_live="8", speed=0.5)),
    ("hospital.b", Calendar()),
    ("hospital.c", Calendar()),
)


def test_orders_deal_the_same_weeks_anew() -> None:
    scenario = scenario_of(Rollout(), TABLES, ["a", "b", "c"])
    assert given_queue(scenario) == ("b", "c", "a") and slots(scenario) == [0.0, 0.0, 8.0]
    tried = queues_to_try(scenario, 24, 0)
    # Who goes live together has no order: three ways to choose who comes last.
    assert tried[0] == ("b", "c", "a") and {order[-1] for order in tried} == {"a", "b", "c"}
    assert len(tried) == 3
    assert settings_of(scenario, ("a", "b", "c")) == {
        "rollout.hospital.a.go-live": "0.0",
        "rollout.hospital.a.speed": 0.5,
        "rollout.hospital.b.go-live": "0.0",
        "rollout.hospital.c.go-live": "8.0",
    }


@pytest.fixture
def config(tiny: Callable[..., dict[str, str]], tmp_path: Path) -> Path:
    words = {k: v for k, v in tiny(methods="fedbn").items() if k != "folder"}
    lines = [f'{key} = "{value}"' for key, value in words.items()]
    lines += ["[rollout.hospital.phantom-3]", "go-live = 1"]
    path = tmp_path / "config.toml"
    path.write_text("\n".join(lines))
    return path


def test_contribution_of_a_real_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "answer"
    words = ["contribution", str(config), "--of", "phantom-3", "--to", str(to)]
    assert cli.main(words) == 0
    first = (to / "contribution.csv").read_bytes()
    out = " ".join(capsys.readouterr().out.split())
    assert "3 runs" in out and "Training of each hospital, in every run" in out
    table = pd.read_csv(to / "contribution.csv")
    assert table["site"].to_list() == ["phantom-3"]
    runs = {path.name for path in to.iterdir() if path.is_dir()}
    assert runs == {"all", "phantom-3", "phantom-1+phantom-2"}
    # A second call finds the runs done and gives the same table.
    assert cli.main(words) == 0
    assert "run:" not in capsys.readouterr().err
    assert (to / "contribution.csv").read_bytes() == first


def test_order_of_a_real_run(config: Path, tmp_path: Path) -> None:
    to = tmp_path / "answer"
    assert cli.main(["order", str(config), "--tries", "3", "--to", str(to)]) == 0
    table = pd.read_csv(to / "order.csv")
    assert len(table) == 3 and table["val AUC over time"].is_monotonic_decreasing
    assert (to / "order.png").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["contribution", "--of", "x"], "there is no hospital x"),
        (["contribution", "methods=fedavg,fedbn"], "this question is about one method"),
        (["contribution", "rollout.only=phantom-1"], "contributes to nobody"),
        (["order", "rollout.hospital.phantom-3.go-live=0"], "go live in the same week"),
    ],
)
def test_a_question_without_an_answer_gets_a_sentence(
    config: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = words
    assert cli.main([verb, str(config), *rest]) == 2
    assert sentence in capsys.readouterr().err
