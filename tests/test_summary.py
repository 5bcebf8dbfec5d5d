"""The summary page and table against the numbers of synthetic run folders."""

import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from conftest import RunTiny
from scipy.stats import t
from test_plots import Row, full_rows, write_run

from federated import plots
from federated.plots.numbers import values
from federated.report import summary_table, write_summary
from federated.report.conclusion import ONE_SEED, conclusion
from federated.report.markup import sentence
from federated.report.tables import (
    CHOSEN,
    FINAL_AUC,
    cost_table,
    mark_of,
    method_table,
    site_table,
)
from federated.statistics.effort import effort_of_runs, effort_sentence, effort_table

AUCS = {
    ("local", "alder"): (0.80, 0.81),
    ("local", "clover"): (0.70, 0.71),
    ("fedavg", "alder"): (0.70, 0.708),
    ("fedavg", "clover"): (0.821, 0.829),
}


def two_seeds() -> list[Row]:
    return [
        (method, seed, 5, site, "test", model, metric, auc, 40)
        for (method, site), pair in AUCS.items()
        for seed, auc in enumerate(pair)
        for model in ("kept", "final")
        for metric in ("auc", "sensitivity", "specificity", "f1", "balanced_accuracy")
    ]


class Page(HTMLParser):
    """What a browser would read of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]
        self.sources += [source for source in found if source[:1] != "#"]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def cells(text: str, *starts: str) -> list[str]:
    """Return the cells of the Markdown row that begins with these."""
    rows = [[c.strip() for c in row.strip("|").split(" | ")] for row in text.splitlines()]
    (row,) = [row for row in rows if row[: len(starts)] == list(starts)]
    return row


def test_the_summary_opens_with_question_answer_and_intervals(tmp_path: Path) -> None:
    text = summary_table(write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1)))
    question, answer = text.split("\n\n")[:2]
    answer = " ".join(answer.split("\n"))
    assert question.startswith("Does each hospital gain by learning together")
    assert "With fedavg, 1 of 2 gain AUC over training alone: clover +0.120 [" in answer
    assert (
        "Worse off: alder -0.101 [" in answer and "(40 test images a hospital, 2 seeds)" in answer
    )


def test_the_table_has_both_models_and_marks_what_is_surely_worse_than_alone(
    tmp_path: Path,
) -> None:
    """Differences of the seeds: alder -0.100, -0.102; clover +0.121, +0.119; t of one is 12.706."""
    run = write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1))
    table = site_table(run).set_index(["site", "method"])
    half = t.ppf(0.975, 1) * np.std([-0.100, -0.102], ddof=1) / math.sqrt(2)
    told = f"-0.101 [{-0.101 - half:+.3f}, {-0.101 + half:+.3f}]"
    assert table.loc[("alder", "fedavg"), "final − local"] == told
    assert table.loc[("alder", "fedavg"), FINAL_AUC].endswith("] ↓")
    assert not table[FINAL_AUC].drop(("alder", "fedavg")).str.endswith("↓").any()
    assert mark_of("local") in " ".join(summary_table(run).split())
    assert CHOSEN in summary_table(run)


def test_no_mark_stands_where_the_interval_holds_zero_or_nobody_was_alone(tmp_path: Path) -> None:
    one = [row for row in two_seeds() if row[1] == 0]
    single = write_run(tmp_path / "one", one, ["local", "fedavg"])
    assert "↓" not in summary_table(single)
    assert ONE_SEED in " ".join(summary_table(single).split("\n"))
    fedavg = [row for row in two_seeds() if row[0] != "local"]
    run = write_run(tmp_path / "fedavg", fedavg, ["fedavg"], (0, 1))
    assert "↓" not in summary_table(run)
    assert list(method_table(run).columns) == ["method", "sites", "worst site's AUC"]


def test_methods_are_compared_by_the_mean_over_sites_seed_by_seed(tmp_path: Path) -> None:
    run = write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1))
    local, fedavg = method_table(run).to_dict("records")
    # Seeds: (-0.100 + 0.121) / 2 and (-0.102 + 0.119) / 2.
    mean, half = 0.0095, t.ppf(0.975, 1) * np.std([0.0105, 0.0085], ddof=1) / math.sqrt(2)
    told = f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"
    assert fedavg["mean over sites of AUC − local"] == told
    assert local["worst site's AUC"].endswith("(clover)")
    assert [local["sites surely worse"], fedavg["sites surely worse"]] == ["0", "1 ↓"]


def test_the_conclusion_is_about_the_method_that_validation_preferred(tmp_path: Path) -> None:
    """On test images moon is the better one; that must choose nothing."""
    rows: list[Row] = [
        (method, seed, 5, "alder", split, "final", "auc", auc + seed / 1000, 40)
        for method, aucs in {"local": (0.5, 0.5), "fedavg": (0.8, 0.6), "moon": (0.7, 0.9)}.items()
        for split, auc in zip(("val", "test"), aucs, strict=True)
        for seed in (0, 1)
    ]
    run = write_run(tmp_path, rows, ["local", "fedavg", "moon"], (0, 1))
    assert conclusion(run).sentences[0].startswith("With fedavg, the one hospital gains")


def test_an_undefined_auc_is_a_dash(tmp_path: Path) -> None:
    rows = [row for row in two_seeds() if row[1] == 0]
    rows = [(*r[:7], math.nan, 40) if (r[0], r[3]) == ("local", "alder") else r for r in rows]
    run = write_run(tmp_path, rows, ["local", "fedavg"])
    table = site_table(run).set_index(["site", "method"])
    assert table.loc[("alder", "local"), FINAL_AUC] == "–"
    assert table.loc[("clover", "local"), FINAL_AUC] == "0.700 [interval unknown]"
    assert method_table(run)["sites"][0] == "1 of 2"


def trained(method: str, site: str, steps: float, images: float, seeds: int = 2) -> list[Row]:
    """Return two rounds that share ``steps`` and ``images`` one to two."""
    return [
        (method, seed, round, site, "train", "current", metric, whole * round / 3, 30)
        for seed in range(seeds)
        for round in (1, 2)
        for metric, whole in (("steps", steps), ("images_seen", images))
    ]


def test_equal_training_is_stated_site_by_site(tmp_path: Path) -> None:
    rows = [
        row
        for method in ("local", "fedavg")
        for site, images in (("alder", 1200), ("birch", 960))
        for row in trained(method, site, 30, images)
    ]
    run = write_run(tmp_path, rows + two_seeds(), ["local", "fedavg"], (0, 1))
    sentence = (
        "Training of each hospital, under every method: alder 30 optimiser steps and 1,200 images "
        "seen; birch 30 optimiser steps and 960 images seen."
    )
    assert effort_sentence(run) == sentence
    assert sentence in " ".join(summary_table(run).split("\n"))
    assert sentence in Page(write_summary(run, draw=False)).text


def test_unequal_training_is_warned_of_where_it_is(tmp_path: Path) -> None:
    """224 against 608 steps was read as the benefit of short rounds, once."""
    rows = trained("local", "alder", 600, 19200) + trained("fedavg", "alder", 600, 19200)
    rows += trained("local", "birch", 224, 6800) + trained("fedavg", "birch", 608, 18460)
    run = write_run(tmp_path, rows + two_seeds(), ["local", "fedavg"], (0, 1))
    sentence = effort_sentence(run)
    assert sentence.startswith("WARNING: the methods did not train each hospital equally long")
    assert sentence.endswith(": birch 224 to 608 optimiser steps and 6,800 to 18,460 images seen.")
    assert sentence in " ".join(summary_table(run).split("\n"))
    assert effort_table(run).to_numpy().tolist() == [
        ["alder", "local", "600", "19,200"],
        ["alder", "fedavg", "600", "19,200"],
        ["birch", "local", "224", "6,800"],
        ["birch", "fedavg", "608", "18,460"],
    ]


def test_hospitals_that_trained_unequally_are_named_where_others_did_not(tmp_path: Path) -> None:
    rows = trained("local", "alder", 60, 960) + trained("fedavg", "alder", 60, 960)
    for site in ("birch", "cedar"):
        rows += trained("local", site, 30, 480) + trained("fedavg", site, 60, 960)
    run = write_run(tmp_path, rows + two_seeds(), ["local", "fedavg"], (0, 1))
    assert effort_sentence(run).endswith(
        ": birch, cedar 30 to 60 optimiser steps and 480 to 960 images seen."
    )


def test_runs_that_are_compared_say_how_long_each_trained_its_hospitals(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", trained("fedavg", "alder", 60, 960), ["fedavg"], (0, 1))
    rows = trained("fedavg", "alder", 60, 960) + trained("local", "birch", 9, 9)
    second = write_run(tmp_path / "b", rows, ["fedavg", "local"], (0, 1))
    third = write_run(tmp_path / "c", trained("local", "alder", 90, 960), ["local"], (0, 1))
    assert effort_of_runs([(first, "fedavg"), (second, "fedavg")]) == (
        "Training of each hospital, in every run that it is part of: alder 60 optimiser steps and "
        "960 images seen."
    )
    assert effort_of_runs([(first, "fedavg"), (third, "local")]) == (
        "WARNING: the runs did not train each hospital equally long, so that a difference between "
        "them may come from that: alder 60 to 90 optimiser steps and 960 images seen."
    )


def test_costs_are_sums_over_rounds(tmp_path: Path) -> None:
    ended = {"kind": "round-ended", "method": "local", "seconds": 1.5}
    run = write_run(tmp_path, full_rows(seeds=(0, 1)), seeds=(0, 1), events=[ended, ended])
    local = cost_table(run).set_index("method").loc["local"]
    assert local["MB up per site"] == "5.0"  # 5 rounds of 1e6 bytes
    assert local["MB down per site"] == "–"
    assert local["seconds at sites, all seeds"] == "40"  # 2 seeds, 2 sites, 5 rounds of 2 s
    assert local["seconds by the clock, all seeds"] == "3"


def test_the_page_holds_the_numbers_the_failures_and_the_environment(tmp_path: Path) -> None:
    failure = {"kind": "site-failed", "method": "fedavg", "seed": 0, "round": 3, "site": "birch"}
    events = [
        {"time": "2031-05-06T07:08:09+00:00", "kind": "cell-started"},
        {"time": "2031-05-06T07:09:00+00:00", **failure, "reason": "no answer within 9 s"},
    ]
    long = {
        "kind": "update-shortened",
        "method": "fedavg",
        "seed": 1,
        "site": "alder",
        "bound": 2.0,
    }
    events += [{**events[0], **long, "round": k, "norm": norm} for k, norm in ((2, 5.0), (4, 3.0))]
    rows = full_rows()
    rows += [(*row[:5], "personalised", *row[6:]) for row in rows if row[5] == "kept"]
    rows += [("fedavg", 0, 5, "alder", "val", "final", "chose_personalised", 1.0, 30)]
    run = write_run(tmp_path, rows, events=events, name="tulip")
    path = write_summary(run, draw=False)
    assert path == tmp_path / "summary.html"
    page = Page(path)
    lines = page.text.split("\n")
    start = lines.index("What each hospital uses in the end")
    final = next(
        r[7] for r in rows if (r[0], *r[3:7]) == ("fedavg", "alder", "test", "final", "auc")
    )
    assert "\n".join(["fedavg", "0", "alder", "personalised", "2"]) in "\n".join(lines[start:])
    assert f"{final:.3f}" in lines[start:]
    assert "\n".join(["fedavg", "0", "3", "birch", "no answer within 9 s"]) in page.text
    assert "\n".join(["fedavg", "1", "alder", "2", "2.5"]) in page.text
    for word in (
        "tulip",
        "2031-05-06 07:08 UTC",
        "torch 9.8.7",
        "Abacus 3000",
        "c0ffee",
        sentence(CHOSEN),
    ):
        assert word in page.text
    for text in site_table(run)[FINAL_AUC]:
        assert text.split(" ")[0] in lines


def test_the_page_needs_nothing_from_elsewhere_and_holds_every_figure_twice(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(rounds=2))
    path = write_summary(run)
    page = Page(path)
    saved = list((tmp_path / "plots").iterdir())
    assert len(page.sources) == 2 * len(saved) > 10
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "link" not in page.tags and path.stat().st_size < 5e6


def test_names_are_text_not_html(tmp_path: Path) -> None:
    name = '<script>alert("1")</script>&|'
    run = write_run(tmp_path, full_rows(sites=[name], rounds=1), name="<i>run")
    page = Page(write_summary(run, draw=False))
    assert "i" not in page.tags and page.tags.count("script") == 0
    assert name in page.text and "<i>run" in page.text
    lines = [line.split()[:3] for line in summary_table(run).splitlines()]
    assert [name, "local", "40"] in lines


def test_an_unfinished_run_says_so_and_an_empty_one_has_a_page(tmp_path: Path) -> None:
    begun = [row for row in full_rows(rounds=2) if row[5] == "current"]
    run = write_run(tmp_path, begun)
    assert "3 of 3 (method, seed)" in Page(write_summary(run, draw=False)).text
    assert "No model has been kept yet." in summary_table(run)
    empty = write_run(tmp_path / "empty", [])
    assert "Environment" in Page(write_summary(empty)).text
    whole = write_run(tmp_path / "whole", full_rows())
    assert "not finished" not in Page(write_summary(whole, draw=False)).text


def test_a_real_run_has_every_figure_and_its_roc_has_the_reported_auc(run_tiny: RunTiny) -> None:
    run = run_tiny(methods="fedavg,consilium")
    write_summary(run)
    drawn = {path.stem for path in (run.folder / "plots").iterdir()}
    assert drawn >= {"convergence", "comparison", "roc", "memory", "bn-drift-consilium"}
    distances = plots.bn_distances(run, "consilium", 0)
    assert (distances[["mean", "spread", "weight", "bias"]] > 0).all(axis=None)
    for ax in plots.roc(run).axes:
        for curve in ax.lines[1:]:
            method, auc = str(curve.get_label()).split()
            kept = values(run, "auc", "test", "kept").set_index(["method", "site"])["value"]
            assert auc == f"{kept[method, ax.get_title()]:.3f}"
