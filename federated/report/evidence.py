"""Intervals, paired tests and verdicts as tables of text."""

from collections.abc import Sequence

import pandas as pd

from federated.plots.text import DASH, number

TESTED = (
    "At a threshold that each hospital's validation images chose (Youden); test images chose "
    "nothing; sensitivity and specificity with Wilson's intervals, the others by bootstrap"
)
CLASSES = (
    "Of more than two classes AUC, sensitivity and specificity are means over the classes, each "
    "against the rest; decided is for the class with the greatest probability, of which ECE is; "
    "ROC, reliability and decision curves are of two classes and are not drawn"
)
POOLED = (
    "AUCs of the test images, means over seeds; pooled: random effects over hospitals, on the "
    "scale of log odds (DerSimonian and Laird), in brackets 95 %; a further hospital: where its "
    "AUC would lie with 95 % (of three hospitals or more); I²: the share of the spread that is "
    "more than chance"
)

FEWEST = "Of n pairs Wilcoxon's p is never below 2^(1 − n): five or fewer cannot come below 0.05"


def interval_text(row: pd.Series, name: str, form: str = "{:.3f}") -> str:
    """Return a number of a row with its interval: ``0.912 [0.880, 0.941]``; a dash if undefined."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    if pd.isna(value):
        return DASH
    return number(value, form) + span(low, high, form)


def span(low: float, high: float, form: str = "{:.3f}") -> str:
    """Return an interval in brackets; nothing if it is undefined."""
    return "" if pd.isna(low) or pd.isna(high) else f" [{form.format(low)}, {form.format(high)}]"


def p_text(value: float) -> str:
    """Return a p-value; one below 0.001 is not written out."""
    return "< 0.001" if value < 0.001 else number(value, "{:.3f}")


def _rows(table: pd.DataFrame, columns: Sequence[tuple[str, object]]) -> pd.DataFrame:
    """Return texts, a column per header, each made of a row by a function or a format."""
    texts = [
        {
            header: make(row) if callable(make) else str(make).format_map(row)
            for header, make in columns
        }
        for _, row in table.iterrows()
    ]
    return pd.DataFrame(texts, columns=[header for header, _ in columns])


def per_site_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``sites.over_seeds`` as text, every number with its interval."""
    shown = {"AUC": "auc", "sensitivity": "sensitivity", "specificity": "specificity"}
    shown |= {"ECE": "ece", "Brier": "brier"}
    columns: list[tuple[str, object]] = [
        ("site", "{site}"),
        ("method", "{method}"),
        ("images (positive)", "{images} ({positives})"),
        ("threshold", _threshold),
    ]
    if (table["classes"] > 2).any():
        columns[2:] = [("images", "{images}")]
    for header, name in shown.items():
        columns.insert(
            3 if header == "AUC" else len(columns),
            (header, lambda row, name=name: interval_text(row, name)),
        )
    return _rows(table, columns)


def per_class_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``sites.by_class`` as text, every number with its interval."""
    shown = {"AUC against the rest": "auc", "sensitivity": "sensitivity"}
    shown |= {"specificity": "specificity"}
    columns: list[tuple[str, object]] = [
        ("site", "{site}"),
        ("method", "{method}"),
        ("class", "{class}"),
        ("images", "{images}"),
    ]
    columns += [
        (header, lambda row, name=name: interval_text(row, name)) for header, name in shown.items()
    ]
    return _rows(table, columns)


def _threshold(row: pd.Series) -> str:
    least, most = row["threshold_least"], row["threshold_most"]
    return f"{least:.2f}" if least == most else f"{least:.2f} to {most:.2f}"


def against_table(table: pd.DataFrame, by_seed: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return ``methods.against`` as text, beside it the tests of ``methods.by_seed``."""
    paired = by_seed.groupby(["site", "method"], sort=False)
    p = paired["p"].agg(lambda found: ", ".join(map(p_text, found)))
    p_holm = paired["p_holm"].min()

    def key(row: pd.Series) -> tuple[str, str]:
        return row["site"], row["method"]

    return _rows(
        table,
        [
            ("site", "{site}"),
            ("method", "{method}"),
            (
                f"AUC − that of {reference}",
                lambda row: interval_text(row, "difference", "{:+.3f}"),
            ),
            ("margin", "{margin}"),
            ("verdict", "{verdict}"),
            ("DeLong's p, seed by seed", lambda row: p[key(row)]),
            ("least of them after Holm", lambda row: p_text(p_holm[key(row)])),
        ],
    )


def verdict_note(reference: str) -> str:
    """Return what the columns of ``against_table`` mean."""
    return (
        f"Difference in mean AUC to {reference} on the same test images and seeds, 95 % by "
        "bootstrap over both; better: all of it above 0; not worse: all of it above minus the "
        "margin, which the configuration fixed before the run; worse: all of it below 0; "
        "undecided: neither. DeLong's paired test takes one seed at a time; Holm corrects for all "
        "sites, methods and seeds of this table"
    )


def over_sites_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``methods.over_sites`` as text."""
    return _rows(
        table,
        [
            ("method", "{method}"),
            ("pairs of site and seed", "{pairs}"),
            ("better in", "{better}"),
            ("mean difference in AUC", "{mean_difference:+.3f}"),
            ("Wilcoxon's p", lambda row: p_text(row["p"])),
            ("after Holm", lambda row: p_text(row["p_holm"])),
        ],
    )


def _further(row: pd.Series) -> str:
    return span(row["new_low"], row["new_high"]).strip() or DASH


def over_hospitals_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``hospitals.over_hospitals`` as text."""
    return _rows(
        table,
        [
            ("method", "{method}"),
            ("sites", "{sites}"),
            ("mean AUC", lambda row: number(row["mean"], "{:.3f}")),
            ("worst", "{worst:.3f} ({worst_site})"),
            ("best − worst", lambda row: number(row["gap"], "{:.3f}")),
            ("sd", lambda row: number(row["sd"], "{:.3f}")),
            ("pooled", lambda row: interval_text(row, "pooled")),
            ("a further hospital", _further),
            ("I²", lambda row: number(row["i2"], "{:.0%}")),
        ],
    )
