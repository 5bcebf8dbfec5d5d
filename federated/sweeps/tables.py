"""Tables of a sweep for a paper and a page: mean ± sd over the seeds, published figures beside."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from federated.errors import UserError
from federated.plots.text import DASH, markdown, plus_minus
from federated.report.evidence import CLASSES, POOLED
from federated.statistics.effort import EFFORT, told_once
from federated.sweeps.choosing import validation_lines
from federated.sweeps.intervals import (
    FEWEST_SITES,
    across_tables,
    compare_of,
    interval_tables,
    scored_cells,
)
from federated.sweeps.results import read_cells, tidy

SHOWN: Mapping[str, str] = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "f1": "F1",
}
PUBLISHED: Mapping[tuple[str, str], float] = {
    ("sars-cov-2", "auc"): 0.962,
    ("covid-ct", "auc"): 0.853,
}
"""Of Wang, Liu and Dou 2020: pooled training, the checkpoint chosen on test images."""
PUBLISHED_ROW = "published: pooled, chosen on test images (Wang et al. 2020)"

INTERVALS = (
    "In brackets 95 % intervals: of AUC, calibration error (ECE) and differences by bootstrap "
    "over groups of test images (patients, or near-duplicates where patients are unknown) and over "
    "seeds, with both methods on the same draws; of sensitivity and specificity Wilson's, at the "
    "threshold that the site's validation images chose. Verdicts: better, the interval lies above "
    "0; not worse, above minus the margin, which was set before the run; worse, below 0; else "
    "undecided. DeLong's test is paired, on the same images, with Holm's correction over all rows "
    "and seeds."
)
ACROSS = (
    f"First come two tables over all hospitals. {POOLED}. In the second: pairs of hospital and "
    "seed, in how many of them the method is above the reference, Wilcoxon's test over them, and "
    "at how many hospitals each verdict was given."
)
FEW_SITES = 4
"""Up to how many sites a table has every metric of each."""
MODELS: Mapping[str, str] = {
    "kept": "The model of the round that was kept, as the method gives it",
    "final": "The model that the site uses in the end, which may be its own alone",
}
"""Of what intervals are told."""
LIMITS: Mapping[str, str] = {
    "sars-cov-2": (
        "SARS-CoV-2 names no patients: near-duplicate images are kept in one split, but images of "
        "a patient that look different may lie in several, which flatters every method alike and "
        "makes intervals too short."
    ),
}
"""What a reader must know of a hospital's data."""

MARKED = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "±": r"$\pm$", DASH: "--"}
"""What LaTeX writes otherwise."""


def numbers(results: Path) -> pd.DataFrame:
    """Return test metrics over seeds: model, run, method, site, metric, mean, sd, seeds.

    ``model`` is ``kept`` or ``final``.

    Raises:
        UserError: there are no results.
    """
    frame = tidy(results)
    known = frame["model"].isin(list(MODELS)) & frame["metric"].isin(list(SHOWN))
    frame = frame[(frame["split"] == "test") & known]
    groups = frame.groupby(["model", "run", "method", "site", "metric"], sort=False)["value"]
    table = groups.agg(["mean", "std", "count"]).reset_index()
    return table.rename(columns={"std": "sd", "count": "seeds"})


def table_of(results: Path, model: str) -> pd.DataFrame:
    """Return a model's table as text: a row per run and method, a column per site and metric.

    Of many sites only AUC; ``numbers`` has all.
    """
    frame = numbers(results)
    frame = frame[frame["model"] == model]
    rows = []
    for (run, method), group in frame.groupby(["run", "method"], sort=False):
        seeds = int(group["seeds"].max())
        row = {"run": run, "method": method, "seeds": str(seeds)}
        for one in group.itertuples():
            row[f"{one.site} {SHOWN[str(one.metric)]}"] = plus_minus(one.mean, one.sd)  # type: ignore[arg-type]
        rows.append(row)
    sites = sorted(frame["site"].unique())
    headers = list(SHOWN.values())[: len(SHOWN) if len(sites) <= FEW_SITES else 1]
    columns = [f"{site} {header}" for site in sites for header in headers]
    table = pd.DataFrame(rows, columns=["run", "method", "seeds", *columns])
    if published := _published(table):
        table = pd.concat([table, pd.DataFrame([published])], ignore_index=True)
    if table["run"].dropna().nunique() == 1:
        table = table.drop(columns="run")
    return table.fillna(DASH)


def _published(table: pd.DataFrame) -> dict[str, str]:
    found = {
        column: f"{figure:.3f}"
        for (site, metric), figure in PUBLISHED.items()
        if (column := f"{site} {SHOWN[metric]}") in table
    }
    return {"method": PUBLISHED_ROW, **found} if found else {}


def latex(table: pd.DataFrame) -> str:
    """Return a table of text as a LaTeX tabular with the rules of booktabs."""
    rows = [[_escaped(str(name)) for name in table.columns]]
    rows += [[_escaped(cell) for cell in row] for row in table.to_numpy().tolist()]
    head, *body = [" & ".join(row) + r" \\" for row in rows]
    first = r"\begin{tabular}{" + "l" * len(table.columns) + "}"
    lines = [first, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(MARKED.get(letter, letter) for letter in text)


def effort_text(results: Path) -> str:
    """Return by site how many steps and images the cells trained, and whether all trained alike."""
    rows = [
        (site, done["steps"], done["images_seen"])
        for facts, _ in read_cells(results)
        for site, done in facts["trained"].items()
    ]
    table = pd.DataFrame(rows, columns=["site", *EFFORT])
    spread = table.groupby("site").agg(["min", "max"])
    least, most = (spread.xs(end, axis=1, level=1) for end in ("min", "max"))
    alike = bool((least.to_numpy() == most.to_numpy()).all())
    head = "Training of each cell" if alike else "WARNING: not all cells trained equally long"
    return f"{head}: {told_once(spread, len(spread))}."


def write_tables(results: Path) -> list[Path]:
    """Write a sweep's tables as Markdown, LaTeX and CSV beside its results; return the paths.

    Raises:
        UserError: there are no results.
    """
    texts = {
        "table.md": page_of(results),
        "table.tex": "\n".join(
            f"% {told}\n{latex(table_of(results, model))}" for model, told in MODELS.items()
        ),
        "table.csv": numbers(results).to_csv(index=False),
    }
    for name, text in texts.items():
        (results / name).write_text(text, encoding="utf-8")
    return [results / name for name in texts]


def page_of(results: Path) -> str:
    """Return a sweep's tables with what a reader has to know, as Markdown."""
    facts = [facts for facts, _ in read_cells(results)]
    if not facts:
        raise UserError(f"{results} holds no results of a sweep; name the folder that one wrote.")
    codes = sorted({one["code_sha256"][:12] for one in facts})
    lines = [
        f"{len(facts)} cells; test metrics, mean ± sd over the seeds, threshold 0.5. "
        f"{effort_text(results)} Code {', '.join(codes)}."
    ]
    for model, told in MODELS.items():
        lines += ["", f"{told}:", "", *markdown(table_of(results, model))]
    chosen = validation_lines(results, compare_of(results).reference)
    return "\n".join([*lines, *_with_intervals(results), *chosen]) + "\n"


def _with_intervals(results: Path) -> list[str]:
    """Return the tables of intervals, of each model and run, and before them how they were made."""
    compare, sections, sites = compare_of(results), list[str](), set[str]()
    many = False
    for model, told in MODELS.items():
        for run, models in scored_cells(results, model).items():
            sites |= {one.site for one in models}
            many |= any(one.classes for one in models)
            sections += ["", f"{told}, run {run}:"]
            for table in [*across_tables(models, compare), *interval_tables(models, compare)]:
                sections += ["", *markdown(table)]
    limits = [text for site, text in LIMITS.items() if site in sites]
    limits += [f"{CLASSES}."] if many else []
    limits += [ACROSS] if len(sites) >= FEWEST_SITES else []
    return ["", " ".join([INTERVALS, *limits]), *sections] if sections else []
