"""CLAIM, TRIPOD+AI and TRIPOD-Cluster, filled in with what a run knows of itself."""

from collections.abc import Mapping
from pathlib import Path

from federated.config.training import Personalise
from federated.data.classes import class_words
from federated.learning.network import network_of
from federated.plots.numbers import values
from federated.plots.text import DASH
from federated.report.checklists import GUIDELINES
from federated.report.evidence import interval_text, span
from federated.report.precision import precision_text
from federated.runs.history import events
from federated.runs.reading import Run
from federated.statistics.hospitals import over_hospitals
from federated.statistics.images import scored_once
from federated.statistics.scored import grouping_note
from federated.storage import write_bytes

BLANK = "**[author]**"
MOST_NAMED = 12


def write_checklist(run: Run) -> tuple[Path, int, int]:
    """Write ``answers/checklist.md`` and return its path, the items filled in, and all items."""
    facts = facts_of(run)
    lines = [
        f"# Reporting checklists: {run.study.common.name}",
        "",
        "Filled in by `consilium checklist` with what the run knows of itself, to be checked "
        f"against the paper. {BLANK} marks what only its author can say; what is filled in may "
        "need more words, too.",
    ]
    filled = total = 0
    for guideline, items in GUIDELINES.items():
        lines += ["", f"## {guideline}", "", "| item | topic | in this study |", "|---|---|---|"]
        for item in items:
            told = facts.get(item.fact, "") if item.fact else ""
            filled, total = filled + bool(told), total + 1
            lines.append(f"| {item.number} | {item.topic} | {_cell(told) or BLANK} |")
    run.files.answers.mkdir(exist_ok=True)
    path = run.files.answers / "checklist.md"
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return path, filled, total


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def facts_of(run: Run) -> Mapping[str, str]:
    """Return what the run knows, a sentence or two per fact; empty where it does not."""
    return {**_of_data(run), **_of_models(run), **_of_evidence(run)}


def _of_data(run: Run) -> dict[str, str]:
    common = run.study.common
    data, names = common.data, run.sites
    few = ", ".join(names[:MOST_NAMED]) + (" and others" if len(names) > MOST_NAMED else "")
    given = [
        f"data.{key.replace('_', '-')}"
        for key in ("covid_ct", "sars_cov_2", "manifest", "folder")
        if getattr(data, key)
    ]
    sources = ", ".join(given) + (" and synthetic phantoms" if common.phantom.sites else "")
    synthetic = "" if given else " All images are synthetic: no patient is involved."
    dealt = "" if common.partition.kind == "none" else f"; dealt by {common.partition.kind}"
    return {
        "data": f"{len(names)} hospitals: {few}. Source: {sources.removeprefix(' and ')}{dealt}."
        f"{synthetic}",
        "preprocessing": "Grey images (Hounsfield data through a window of level "
        f"{data.window_level:g} and width {data.window_width:g}), shown at {data.image_size} px "
        "and normalised with ImageNet's mean and deviation.",
        "predictors": "The grey values of one CT slice; nothing else enters the model.",
        "selection": f"Up to {data.slices} slices of a volume, evenly over its lungs; of single "
        "images all.",
        "missing": "The run stops at the first unusable image or row."
        if data.strict
        else "Unusable images and rows are left out and listed.",
        "partitions": f"Training, validation ({data.val_fraction:.0%}) and test "
        f"({data.test_fraction:.0%}) within each hospital, drawn with seed {data.split_seed}; an "
        "official split is kept where the data set has one.",
        "disjoint": "No patient is in two partitions; where patients are unknown, images that "
        f"correlate above {data.duplicate_correlation:g} at 32 x 32 px are kept together.",
        "counts": _counts(run),
    }


def _counts(run: Run) -> str:
    parts = []
    for split, model in (("train", "current"), ("val", "kept"), ("test", "kept")):
        metric = "loss" if split == "train" else "auc"
        sizes = values(run, metric, split, model).groupby("site")["num_examples"].max()
        few = ", ".join(f"{site} {count}" for site, count in sizes[:MOST_NAMED].items())
        parts += [f"{split} images: {few}"] if len(sizes) else []
    return "; ".join(parts) + ("." if parts else "")


def _of_models(run: Run) -> dict[str, str]:
    by_method, environment = run.study.by_method, run.environment
    config = next(iter(by_method.values()))
    seeds = ", ".join(map(str, run.study.common.seeds))
    parameters = sum(p.numel() for p in network_of(config, seed=0).parameters())
    train, packages = config.train, environment.get("packages", {})
    versions = ", ".join(f"{name} {number}" for name, number in packages.items() if number)
    length = f"{train.max_steps} steps" if train.max_steps else f"{train.local_epochs} epochs"
    return {
        "model": f"{config.model.name}, width {config.model.width:g}, {parameters:,} parameters, "
        f"input 3 x {config.data.image_size} x {config.data.image_size}. Methods: "
        f"{', '.join(by_method)}; what each shares is in config.toml.",
        "software": f"Python {environment.get('python', 'unknown')}, {versions}; "
        f"{environment.get('cpu', 'unknown processor')}; computed in {precision_text(run)}.",
        "initial": f"The weights of a file (SHA-256 {config.model.start_sha256}), the same at all "
        "hospitals."
        if config.model.start
        else f"Random, drawn from each seed ({seeds}), the same at all hospitals.",
        "training": f"{config.rounds} rounds of {length}, batches of {train.batch_size}, "
        f"{train.optimizer} at {train.lr:g} ({train.schedule}), weight decay "
        f"{train.weight_decay:g}, gradients clipped at {train.clip_norm:g}, augmentation "
        f"{train.augmentation if train.augment else 'off'} (of {next(iter(by_method))}; where "
        "others differ is in config.toml). Every method with every seed.",
        "choice": "What was chosen (round, model, threshold) was chosen on each hospital's own "
        "validation images; no test image was used for a choice.",
        "ensemble": "None.",
        "imbalance": f"Sampling {train.sampling}; class weights "
        f"{'on' if train.class_weights else 'off'}.",
        "output": _output(run),
        "updating": _updating(config.personalise),
        "code": f"Commit {environment.get('commit') or 'unknown'}, code SHA-256 "
        f"{environment.get('code_sha256', 'unknown')}; config.toml repeats the run.",
        "availability": "`consilium export` writes each hospital's model for plain PyTorch.",
        "clustering": "Hospitals are modelled apart or together as the method says; patients are "
        "resampled whole.",
        "external": "None within the run; `consilium evaluate` tests it on other images, and "
        "`consilium unseen` leaves each hospital out in turn.",
        "robustness": f"{len(by_method)} methods with {len(run.study.common.seeds)} seeds each.",
    }


def _updating(personalise: Personalise) -> str:
    """Return what each hospital does by itself at the end."""
    parts = [f"the last {personalise.share:.0%} of the rounds alone"] if personalise.share else []
    parts += [f"{personalise.epochs} epochs of its own"] if personalise.epochs else []
    return f"Each hospital: {', then '.join(parts)}." if parts else "None."


def _shown(run: Run) -> str:
    if run.study.common.data.classes:
        return ", as means over the classes and of each against the rest, per hospital."
    return ", reliability and decision curves, per hospital."


def _output(run: Run) -> str:
    """Return what a model says of an image, and how it is decided."""
    if classes := run.study.common.data.classes:
        return (
            f"Probability of each of {', '.join(classes)}; decisions for the class with the "
            "greatest."
        )
    return (
        f"Probability of the class to be found ({class_words(run.study.common)[1]}); decisions at "
        "a threshold chosen on validation by Youden's index, stated with the results."
    )


def _of_evidence(run: Run) -> dict[str, str]:
    models, compare = scored_once(run), run.study.common.compare
    failed = len(events(run, "site-failed", ["site"]))
    facts = {
        "metrics": f"AUC, sensitivity, specificity, ECE and Brier score{_shown(run)}",
        "uncertainty": f"{grouping_note(models)}; DeLong's paired test with Holm's correction, "
        "Wilcoxon's over hospitals and seeds; non-inferiority to "
        f"{compare.reference} at {compare.margin:g} ({compare.small_margin:g} below "
        f"{compare.small_images} test images), fixed in the configuration.",
        "failures": f"{failed} failures of a hospital in a round. Misread images can be read off "
        "the predictions under sites/.",
    }
    if not models:
        return facts
    told, spread = [], []
    for _, row in over_hospitals(models).iterrows():
        method = row["method"]
        told.append(
            f"{method}: mean AUC {row['mean']:.3f}, worst {row['worst']:.3f} ({row['worst_site']})"
        )
        if pooled := interval_text(row, "pooled").strip(DASH):
            new = span(row["new_low"], row["new_high"])
            further = f", a further hospital{new}" if new else ""
            spread.append(f"{method}: pooled {pooled}, I² {row['i2']:.0%}{further}")
    where = "Each hospital's are printed by `consilium compare`."
    return facts | {
        "performance": f"{'; '.join(told)}. {where}",
        "intervals": f"{'; '.join(spread)}. {where}" if spread else where,
        "heterogeneity": f"{'; '.join(spread)}." if spread else "",
    }
