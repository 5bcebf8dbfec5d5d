"""The summary page and table against the numbers of synthetic run folders."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

from conftest import RunTiny
from test_plots import Row, full_rows, write_run

from federated import plots
from federated.plots.numbers import values
from federated.report import save_all, summary_table, write_summary
from federated.report.effort import effort_sentence, effort_table
from federated.report.tables import CHOSEN, cost_table, method_table, site_table

AUCS = {
    ("local", "alder"): (0.80, 0.90),
    ("local", "birch"): (0.70, 0.70),
    ("fedavg", "alder"): (0.70, 0.80),
    ("fedavg", "birch"): (0.60, 0.90),
}


def two_seeds() -> list[Row]:
    return [
        (method, seed, 5, site, "test", "kept", metric, auc, 40 + (site == "birch"))
        for (method, site), pair in AUCS.items()
        for seed, auc in enumerate(pair)
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
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def cells(text: str, *starts: str) -> list[str]:
    """Return the cells of the Markdown row that begins with these."""
    rows = [[c.strip() for c in row.strip("|").split(" | ")] for row in text.splitlines()]
    (row,) = [row for row in rows if row[: len(starts)] == list(starts)]
    return row


def test_the_table_has_mean_and_sd_over_seeds_and_marks_what_is_worse_than_alone(
    tmp_path: Path,
) -> None:
    text = summary_table(write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1)))
    # sd of (a, b) is |a - b| / sqrt(2).
    assert cells(text, "alder", "local")[2:4] == ["40", "0.850 ± 0.071"]
    assert cells(text, "alder", "fedavg")[2:5] == ["40", "0.750 ± 0.071 ↓", "0.750 ± 0.071"]
    assert cells(text, "birch", "fedavg")[2:4] == ["41", "0.750 ± 0.212"]
    assert CHOSEN in text
    assert "worse than the hospital alone" in text


def test_nothing_is_marked_where_no_hospital_was_alone(tmp_path: Path) -> None:
    rows = [row for row in two_seeds() if row[0] != "local"]
    run = write_run(tmp_path, rows, ["fedavg"], (0, 1))
    assert "↓" not in summary_table(run)
    assert "sites worse than alone" not in method_table(run).columns


def test_means_over_sites_are_taken_seed_by_seed_and_named_unweighted(tmp_path: Path) -> None:
    run = write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1))
    local, fedavg = method_table(run).to_dict("records")
    # Seeds: (0.80 + 0.70) / 2 and (0.90 + 0.70) / 2; (0.70 + 0.60) / 2 and (0.80 + 0.90) / 2.
    assert local["mean AUC over sites (unweighted)"] == "0.775 ± 0.035"
    assert fedavg["mean AUC over sites (unweighted)"] == "0.750 ± 0.141"
    assert local["worst site's AUC"] == "0.700 ± 0.000 (birch)"
    assert [local["sites worse than alone"], fedavg["sites worse than alone"]] == ["0", "1 ↓"]


def test_one_seed_has_no_sd_and_an_undefined_auc_is_a_dash(tmp_path: Path) -> None:
    rows = [row for row in two_seeds() if row[1] == 0]
    rows[0] = (*rows[0][:7], float("nan"), 40)
    table = site_table(write_run(tmp_path, rows, ["local", "fedavg"])).set_index(["site", "method"])
    assert table.loc[("alder", "local"), "AUC"] == "–"
    assert table.loc[("birch", "local"), "AUC"] == "0.700"
    assert method_table(write_run(tmp_path, rows, ["local", "fedavg"]))["sites"][0] == "1 of 2"


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
    assert sentence in summary_table(run)
    assert sentence in Page(write_summary(run, [])).text


def test_unequal_training_is_warned_of_where_it_is(tmp_path: Path) -> None:
    """224 against 608 steps was read as the benefit of short rounds, once."""
    rows = trained("local", "alder", 600, 19200) + trained("fedavg", "alder", 600, 19200)
    rows += trained("local", "birch", 224, 6800) + trained("fedavg", "birch", 608, 18460)
    run = write_run(tmp_path, rows + two_seeds(), ["local", "fedavg"], (0, 1))
    sentence = effort_sentence(run)
    assert sentence.startswith("WARNING: the methods did not train each hospital equally long")
    assert sentence.endswith(": birch 224 to 608 optimiser steps and 6,800 to 18,460 images seen.")
    assert sentence in summary_table(run)
    assert effort_table(run).to_numpy().tolist() == [
        ["alder", "local", "600", "19,200"],
        ["alder", "fedavg", "600", "19,200"],
        ["birch", "local", "224", "6,800"],
        ["birch", "fedavg", "608", "18,460"],
    ]


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
    rows = full_rows()
    rows += [(*row[:5], "personalised", *row[6:]) for row in rows if row[5] == "kept"]
    rows += [("fedavg", 0, 5, "alder", "val", "final", "chose_personalised", 1.0, 30)]
    run = write_run(tmp_path, rows, events=events, name="tulip")
    path = write_summary(run)
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
    for word in ("tulip", "2031-05-06 07:08 UTC", "torch 9.8.7", "Abacus 3000", "c0ffee", CHOSEN):
        assert word in page.text
    for text in site_table(run)["AUC"]:
        assert text in lines


def test_the_page_needs_nothing_from_elsewhere_and_holds_the_saved_figures(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(rounds=2))
    figures = save_all(run, tmp_path / "drawn")
    path = write_summary(run, figures)
    page = Page(path)
    prefix = "data:image/png;base64,"
    assert [base64.b64decode(source.removeprefix(prefix)) for source in page.sources] == [
        figure.read_bytes() for figure in figures
    ]
    assert "script" not in page.tags and "link" not in page.tags
    assert not re.search(r"https?://|@import|url\(", path.read_text())
    assert not (tmp_path / "plots").exists()


def test_names_are_text_not_html(tmp_path: Path) -> None:
    name = '<script>alert("1")</script>&|'
    run = write_run(tmp_path, full_rows(sites=[name], rounds=1), name="<i>run")
    page = Page(write_summary(run, []))
    assert {"script", "i"}.isdisjoint(page.tags)
    assert name in page.text and "<i>run" in page.text
    # A pipe would be one more column.
    assert cells(summary_table(run), name.replace("|", r"\|"), "local")[2] == "40"


def test_an_unfinished_run_says_so_and_an_empty_one_has_a_page(tmp_path: Path) -> None:
    begun = [row for row in full_rows(rounds=2) if row[5] == "current"]
    run = write_run(tmp_path, begun)
    assert "3 of 3 (method, seed)" in Page(write_summary(run, [])).text
    assert "No model has been kept yet." in summary_table(run)
    empty = write_run(tmp_path / "empty", [])
    assert "Environment" in Page(write_summary(empty)).text
    whole = write_run(tmp_path / "whole", full_rows())
    assert "not finished" not in Page(write_summary(whole, [])).text


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
