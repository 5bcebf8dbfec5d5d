"""Figures against the numbers of synthetic run folders."""

import csv
import json
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.metrics import roc_auc_score

from federated import plots
from federated.config.presets import METHODS
from federated.exchange.ledger import append
from federated.plots.drift import layer_names
from federated.plots.numbers import shown_sites, values
from federated.plots.style import method_looks
from federated.report import save_all
from federated.report.gallery import drawings, plot_in
from federated.runs.columns import METRIC_COLUMNS
from federated.runs.folder import LEDGER
from federated.runs.reading import Run, load
from federated.storage import write_tensors

Row = tuple[str, int, int, str, str, str, str, float, int]
METHOD_NAMES, SITES = ("local", "fedavg", "consilium"), ("alder", "birch")


def write_run(
    folder: Path,
    rows: Iterable[Row],
    methods: Sequence[str] = METHOD_NAMES,
    seeds: Sequence[int] = (0,),
    events: Sequence[dict[str, object]] = (),
    **settings: object,
) -> Run:
    """Write a run folder as the server writes it, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"methods": list(methods), "seeds": list(seeds), "rounds": 5, **settings}
    toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())
    (folder / "config.toml").write_text(toml)
    (folder / "environment.json").write_text(
        json.dumps({"packages": {"torch": "9.8.7"}, "cpu": "Abacus 3000", "commit": "c0ffee"})
    )
    (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    with (folder / "metrics.csv").open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(METRIC_COLUMNS)
        lines.writerows((*row[:7], repr(row[7]), row[8]) for row in rows)
    return load(folder)


def value(*key: object) -> float:
    """Return a number in [0.5, 1) that depends on the key alone."""
    return 0.5 + zlib.crc32(repr(key).encode()) / 2**33


def full_rows(
    methods: Sequence[str] = METHOD_NAMES,
    sites: Sequence[str] = SITES,
    seeds: Sequence[int] = (0,),
    rounds: int = 5,
) -> list[Row]:
    """Return all that a finished run tells, memory in ``consilium`` only."""
    rows: list[Row] = []
    metrics = ("auc", "sensitivity", "specificity", "f1", "balanced_accuracy")
    for m, seed, s in ((m, seed, s) for m in methods for seed in seeds for s in sites):
        for r in range(1, rounds + 1):
            told = {"loss": 2.0 / r, "cross_entropy": 1.0 / r, "seconds": 2.0, "bytes_up": 1e6}
            told |= {"memory_entries": 10 * r, "memory_age": r / 2} if m == "consilium" else {}
            rows += [(m, seed, r, s, "train", "current", k, v, 80) for k, v in told.items()]
            for split in ("val", "test"):
                auc = value(m, seed, r, s, split)
                rows.append((m, seed, r, s, split, "current", "auc", auc, 40))
        for model in ("kept", "final"):
            for k in metrics:
                kept = value(m, seed, s, k, "kept")
                rows.append((m, seed, rounds, s, "test", model, k, kept, 40))
        rows.append((m, seed, rounds, s, "val", "final", "kept_round", min(2.0, rounds), 30))
    return rows


def site_folder(run: Run, site: str, method: str, seed: int = 0) -> Path:
    folder = run.folder / "sites" / site / method / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"kept": {"round": 1, "score": 0.5}}
    (folder / "round-000001.json").write_text(json.dumps({"sha256": "", "facts": facts}))
    return folder


def write_predictions(folder: Path, scores: Sequence[float], labels: Sequence[int]) -> None:
    lines = ["split,image,label,probability", 'val,"a",1,0.0', 'val,"b",0,1.0']
    lines += [f'test,"{i}",{y},{s!r}' for i, (s, y) in enumerate(zip(scores, labels, strict=True))]
    for name in ("kept-000001.csv", "predictions-final.csv"):
        (folder / name).write_text("\n".join(lines) + "\n")


def write_norms(folder: Path, **layers: tuple[list[float], list[float]]) -> None:
    """Write a kept model of batch norms given as (means, variances), and a conv beside them."""
    state = {"conv.weight": torch.ones(2, 2)}
    for name, (means, variances) in layers.items():
        state[f"{name}.running_mean"] = torch.tensor(means)
        state[f"{name}.running_var"] = torch.tensor(variances)
    write_tensors(folder / "kept-000001.safetensors", state, {"round": 1})


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [ax for ax in figure.axes if ax.get_title() == title]
    return found


def line(ax: Axes, label: str) -> Line2D:
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return found


def auc_of(run: Run, split: str, method: str, seed: int, round: int, site: str) -> float:
    frame = values(run, "auc", split)
    keys = {"method": method, "seed": seed, "round": round, "site": site}
    for column, wanted in keys.items():
        frame = frame[frame[column] == wanted]
    (only,) = frame["value"]
    return float(only)


def test_convergence_draws_the_means_over_seeds_and_rings_the_kept_rounds(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(seeds=(0, 1)), seeds=(0, 1))
    ax = panel(plots.convergence(run), "birch")
    drawn = line(ax, "fedavg")
    expected = [
        np.mean([auc_of(run, "val", "fedavg", seed, r, "birch") for seed in (0, 1)])
        for r in range(1, 6)
    ]
    np.testing.assert_array_equal(drawn.get_xdata(), range(1, 6))
    np.testing.assert_allclose(drawn.get_ydata(), expected)
    rings = [ring for ring in ax.lines if ring.get_markerfacecolor() == "none"]
    assert len(rings) == len(METHOD_NAMES)
    assert (2, pytest.approx(expected[1])) in [
        (ring.get_xdata()[0], ring.get_ydata()[0]) for ring in rings
    ]


def test_the_band_is_students_interval_and_leaves_the_axis_to_the_means(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(seeds=(0, 1, 2)), seeds=(0, 1, 2))
    ax = panel(plots.convergence(run), "alder")
    assert len(ax.collections) == len(METHOD_NAMES)
    aucs = [auc_of(run, "val", "local", seed, 1, "alder") for seed in (0, 1, 2)]
    # The 97.5 % point of t with two degrees of freedom.
    half = 4.302652729911275 * np.std(aucs, ddof=1) / math.sqrt(3)
    edges = ax.collections[0].get_paths()[0].vertices
    first = [y for x, y in edges if x == 1]
    assert (min(first), max(first)) == pytest.approx((np.mean(aucs) - half, np.mean(aucs) + half))
    means = [line(ax, method).get_ydata() for method in METHOD_NAMES]
    assert ax.get_ylim()[0] > np.min(means) - 0.1 and ax.get_ylim()[1] < np.max(means) + 0.1
    two = write_run(tmp_path / "two", full_rows(seeds=(0, 1)), seeds=(0, 1))
    assert not panel(plots.convergence(two), "alder").collections


def test_layers_are_named_as_a_reader_would() -> None:
    layers = ["backbone.stem.1", "backbone.longs.0.1", "backbone.longs.1.1", "projection.0.1"]
    assert layer_names(layers) == ["stem", "long branch 1", "long branch 2", "projection"]
    assert layer_names(["features.0.1", "features.2.1"]) == ["layer 1", "layer 2"]
    assert layer_names(["n2"]) == ["n2"]


def test_drift_of_all_methods_has_one_scale(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(), methods=["fedavg", "consilium"])
    for method, far in (("fedavg", 0.5), ("consilium", 8.0)):
        write_norms(site_folder(run, "alder", method), n=([0.0], [1.0]))
        write_norms(site_folder(run, "birch", method), n=([far], [1.0]))
    tops = [plots.bn_drift(run, m, 0).axes[0].get_ylim()[1] for m in ("fedavg", "consilium")]
    assert tops[0] == tops[1] > 8


def test_a_missed_round_and_an_undefined_auc_are_gaps(tmp_path: Path) -> None:
    rows = [r for r in full_rows() if (r[0], r[2], r[3]) != ("fedavg", 3, "alder")]
    rows = [(*r[:7], math.nan, r[8]) if r[2] == 4 and r[6] == "auc" else r for r in rows]
    drawn = line(panel(plots.convergence(write_run(tmp_path, rows)), "alder"), "fedavg")
    np.testing.assert_array_equal(drawn.get_xdata(), range(1, 6))
    np.testing.assert_array_equal(np.isnan(drawn.get_ydata()), [False, False, True, True, False])


def test_methods_side_by_side_has_a_line_per_site(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    drawn = line(panel(plots.methods_side_by_side(run), "consilium"), "alder")
    expected = [auc_of(run, "val", "consilium", 0, r, "alder") for r in range(1, 6)]
    np.testing.assert_array_equal(drawn.get_ydata(), expected)


@pytest.mark.parametrize("metric, worst", [("auc", min), ("loss", max)])
def test_worst_is_the_least_auc_or_the_greatest_loss(
    tmp_path: Path, metric: str, worst: Callable[[list[float]], float]
) -> None:
    rows = [(*r[:6], metric, *r[7:]) for r in full_rows() if r[4:7] == ("val", "current", "auc")]
    run = write_run(tmp_path, rows)
    figure = plots.worst_and_mean(run, metric)
    by_round = [[row[7] for row in rows if row[0] == "local" and row[2] == r] for r in range(1, 6)]
    np.testing.assert_array_equal(
        line(panel(figure, "worst site"), "local").get_ydata(), [worst(v) for v in by_round]
    )
    np.testing.assert_allclose(
        line(panel(figure, "unweighted mean of sites"), "local").get_ydata(),
        [np.mean(v) for v in by_round],
    )


def test_comparison_draws_every_seed_and_their_mean(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(seeds=(0, 1, 2)), seeds=(0, 1, 2))
    ax = panel(plots.comparison(run), "birch")
    expected = [value("fedavg", seed, "birch", "auc", "kept") for seed in (0, 1, 2)]
    np.testing.assert_array_equal(line(ax, "fedavg").get_xdata(), expected)
    row = METHOD_NAMES.index("fedavg")
    bars = [b for b in ax.lines if list(b.get_ydata()) == [row - 0.35, row + 0.35]]
    assert bars[0].get_xdata()[0] == pytest.approx(np.mean(expected))
    alone = np.mean([value("local", seed, "birch", "auc", "kept") for seed in (0, 1, 2)])
    assert ax.lines[0].get_xdata()[0] == pytest.approx(alone)


def test_roc_has_scikit_learns_area_on_test_images_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    run = write_run(tmp_path, full_rows())
    labels = (rng.random(60) < 0.4).astype(int)
    for place, method in enumerate(METHOD_NAMES):
        scores = (labels * 0.3 * place + rng.random(60)).round(1)
        write_predictions(site_folder(run, "alder", method), scores.tolist(), labels.tolist())
    figure = plots.roc(run)
    assert [ax.get_title() for ax in figure.axes] == ["alder"]
    drawn = {d.get_label().split()[0]: d for d in figure.axes[0].lines[1:]}
    for method in METHOD_NAMES:
        table = run.predictions("alder", method, 0).query("split == 'test'")
        expected = roc_auc_score(table["label"], table["probability"])
        assert np.trapezoid(drawn[method].get_ydata(), drawn[method].get_xdata()) == pytest.approx(
            expected
        )
        assert drawn[method].get_label() == f"{method} {expected:.3f}"


def test_roc_of_a_site_without_a_class_is_called_undefined(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    write_predictions(site_folder(run, "alder", "local"), [0.2, 0.9], [1, 1])
    assert plots.roc(run).axes[0].lines[1].get_label() == "local undefined"


def test_drift_by_hand(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    e = math.e
    write_norms(site_folder(run, "alder", "fedavg"), n2=([0.0, 1.0], [1.0, 1.0]))
    write_norms(site_folder(run, "birch", "fedavg"), n2=([4.0, 1.0], [7.0, e**2]))
    (row,) = plots.bn_distances(run, "fedavg", 0).to_dict("records")
    # Channels: |0 - 4| / sqrt((1 + 7) / 2) = 2 and 0; ln 7 / 2 and 1.
    assert row["mean"] == pytest.approx(1.0)
    assert row["spread"] == pytest.approx((math.log(7) / 2 + 1) / 2)
    assert math.isnan(row["weight"]) and math.isnan(row["bias"])
    assert (row["layer"], row["site_a"], row["site_b"]) == ("n2", "alder", "birch")
    assert [ax.get_title() for ax in plots.bn_drift(run, "fedavg", 0).axes] == [
        "running mean: |Δμ| / σ",
        "running variance: |Δ ln σ|",
    ]


def test_drift_of_equal_sites_is_zero_and_layers_are_in_network_order(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(), methods=["consilium"])
    names = {"projection.0.1", "backbone.stem.1", "backbone.longs.0.1", "a10", "a9"}
    norms = {name: ([0.5, 2.0], [1.0, 3.0]) for name in names}
    for site in ("alder", "birch", "cedar"):
        write_norms(site_folder(run, site, "consilium"), **norms)
    frame = plots.bn_distances(run, "consilium", 0)
    assert len(frame) == 3 * len(names) and (frame[["mean", "spread"]] == 0).all(axis=None)
    assert list(frame["layer"].unique()) == [
        "backbone.stem.1",
        "backbone.longs.0.1",
        "projection.0.1",
        "a9",
        "a10",
    ]


def test_batch_norms_that_are_all_the_same_are_not_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    for site in SITES:
        write_norms(site_folder(run, site, "fedavg"), n=([0.5], [2.0]))
    with pytest.raises(plots.NothingToDrawError, match="all sites have the same batch norm"):
        plots.bn_drift(run, "fedavg", 0)


def test_memory_is_drawn_site_by_site_for_the_methods_that_have_one(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows())
    for draw, expected in (
        (plots.memory_occupancy, [10, 20, 30, 40, 50]),
        (plots.memory_age, [0.5, 1, 1.5, 2, 2.5]),
    ):
        figure = draw(run)
        assert [ax.get_title() for ax in figure.axes] == list(SITES)
        for ax in figure.axes:
            (drawn,) = ax.lines
            assert drawn.get_label() == "consilium" and ax.get_ylim()[0] == 0
            np.testing.assert_array_equal(drawn.get_ydata(), expected)


def test_the_marks_of_a_full_memory_are_whole(tmp_path: Path) -> None:
    held = enumerate([500.0, 512.0, 512.0], start=1)
    rows = [
        ("consilium", 0, r, "alder", "train", "current", "memory_entries", n, 80) for r, n in held
    ]
    figure = plots.memory_occupancy(write_run(tmp_path, rows, ["consilium"]))
    figure.canvas.draw()
    (ax,) = figure.axes
    _, height = ax.transData.transform((2, 512))
    half_a_mark = ax.lines[0].get_markersize() / 2 * figure.dpi / 72
    assert ax.bbox.y1 - height >= half_a_mark


def test_training_loss_leaves_the_contrastive_term_out(tmp_path: Path) -> None:
    figure = plots.training_loss(write_run(tmp_path, full_rows()))
    drawn = line(panel(figure, "birch"), "consilium")
    np.testing.assert_allclose(drawn.get_ydata(), [1 / r for r in range(1, 6)])


def test_of_many_sites_the_worst_are_drawn_worst_first(tmp_path: Path) -> None:
    sites = [f"site-{i:03d}" for i in range(30)]
    rows: list[Row] = [
        ("local", 0, r, s, "val", "current", "auc", 0.9 - (i * 7 % 30) / 100 * (r == 2), 9)
        for i, s in enumerate(sites)
        for r in (1, 2)
    ]
    rows[1] = (*rows[1][:7], math.nan, 9)
    run = write_run(tmp_path, rows, methods=["local"])
    shown, note = shown_sites(values(run, "auc", "val"), "auc")
    by_auc = sorted(sites, key=lambda s: -(sites.index(s) * 7 % 30))
    assert shown == by_auc[:12]
    figure = plots.convergence(run)
    assert [ax.get_title() for ax in figure.axes] == shown
    assert figure.get_suptitle() == note and "12 worst of 30" in note


def test_looks_differ_within_a_run_and_a_preset_keeps_its_own_between_runs() -> None:
    names = [*METHODS, "my-fedavg", "another"]
    looks = method_looks(names)
    assert len(set(looks.values())) == len(names)
    assert method_looks(["mine", "consilium"])["consilium"] == looks["consilium"]
    assert len(set(method_looks(["mine", "local"]).values())) == 2


ODD = {
    "one site": full_rows(sites=["only"]),
    "one round": full_rows(rounds=1),
    "one method": full_rows(methods=["consilium"]),
    "names": full_rows(sites=["x" * 200, "$\\frac{a$ & <b>|\"'"]),
    "many": full_rows(sites=[f"s{i}" for i in range(40)], rounds=2),
    "no end": [r for r in full_rows() if r[5] == "current"],
    "nan": [(*r[:7], math.nan, r[8]) if r[6] == "auc" else r for r in full_rows()],
    "some nan": [(*r[:7], math.nan, r[8]) if r[3] == "alder" else r for r in full_rows()],
    "missing": full_rows()[::3],
    "nothing": [],
}
WITHOUT_SITES = {"convergence", "methods", "worst-and-mean", "comparison", "training-loss"}
MEMORY = {"memory", "memory-age"}
DRAWN = {
    "one method": WITHOUT_SITES | MEMORY,
    "no end": WITHOUT_SITES - {"comparison"} | MEMORY,
    "nan": {"training-loss"} | MEMORY,
    "nothing": set(),
}


@pytest.mark.parametrize("kind", ODD)
def test_save_all_draws_what_an_odd_run_has(tmp_path: Path, kind: str) -> None:
    run = write_run(tmp_path, ODD[kind])
    saved = save_all(run, tmp_path / "plots")
    assert {path.stem for path in saved} == DRAWN.get(kind, WITHOUT_SITES | MEMORY)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in saved)


def test_save_all_draws_every_figure_of_a_whole_run_in_the_formats_asked_for(
    tmp_path: Path,
) -> None:
    noisy = [
        (METHOD_NAMES[-1], 0, round, site, "train", "current", "epsilon", 2.0 * round, 30)
        for round in (1, 2)
        for site in SITES
    ]
    run = write_run(tmp_path, [*full_rows(rounds=2), *noisy])
    for site in SITES:
        for method in METHOD_NAMES:
            folder = site_folder(run, site, method)
            write_predictions(folder, [0.1, 0.7, 0.4], [0, 1, 0])
            write_norms(folder, n=([float(site == "birch")], [1.0]))
            append(folder / LEDGER, {"round": 1, "bytes": {"weights": 8}}, sync=False)
    saved = save_all(run, tmp_path / "plots", ("svg", "pdf"))
    # Those of images need models, which this run has not; tests/test_images_shown.py has them.
    names = {name for name, _ in drawings(run) if not plot_in(name).is_of_images}
    assert {path.stem for path in saved} == names and len(saved) == 2 * len(names)
    # The text of a figure stays text.
    assert "consilium" in (tmp_path / "plots" / "convergence.svg").read_text()


@pytest.mark.parametrize("width", [plots.SINGLE, plots.DOUBLE])
def test_figures_have_the_width_of_a_column_and_leave_matplotlib_as_it_was(
    tmp_path: Path, width: float
) -> None:
    before = dict(mpl.rcParams)
    run = write_run(tmp_path, full_rows(sites=["a", "b", "c", "d"]))
    for draw in (plots.convergence, plots.comparison, plots.methods_side_by_side):
        assert draw(run, width=width).get_figwidth() == width
    assert dict(mpl.rcParams) == before


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path, full_rows(methods=["fedavg"]))
    with pytest.raises(plots.NothingToDrawError, match="entries in memory"):
        plots.memory_occupancy(run)
    with pytest.raises(plots.NothingToDrawError, match="predictions-final"):
        plots.roc(run)
    with pytest.raises(plots.NothingToDrawError, match="batch norms of fedavg"):
        plots.bn_drift(run, "fedavg", 0)
