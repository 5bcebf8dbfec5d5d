"""In which precision a run was computed, and in what two runs differ besides their results."""

from collections.abc import Mapping

from federated.config.keys import KEYS
from federated.config.study import OF_METHODS, value_of
from federated.runs.reading import Run


def precisions(run: Run) -> Mapping[str, str]:
    """Return by method fp32 or bf16: what ``train.precision`` came to on the run's processor."""
    on_gpu = run.study.common.engine.gpus > 0
    is_native = run.environment.get("gpu_native_bf16" if on_gpu else "native_bf16", False)
    chosen = "bf16" if is_native else "fp32"
    return {
        method: chosen if config.train.precision == "auto" else config.train.precision
        for method, config in run.study.by_method.items()
    }


def precision_text(run: Run) -> str:
    """Return the run's precision, and whether another processor might have chosen another."""
    by_method = precisions(run)
    both = [f"{method} {found}" for method, found in by_method.items()]
    text = ", ".join(both) if len(set(by_method.values())) > 1 else next(iter(by_method.values()))
    if all(config.train.precision != "auto" for config in run.study.by_method.values()):
        return text
    return f"{text}, as train.precision = auto chose for this processor; pin it for publication"


def differences(run: Run, other: Run) -> list[str]:
    """Return in what besides their results two runs differ, a line each, the precision first.

    Precision alone has changed the AUC of a small hospital by 0.04 (docs/LOG.md).
    """
    here, there = precisions(run), precisions(other)
    shared = [method for method in here if method in there]
    lines = [
        f"computed precision, {method}: {here[method]}, {there[method]}"
        for method in shared
        if here[method] != there[method]
    ]
    for key in (k for k in KEYS if k not in OF_METHODS and KEYS[k].changes_bits and k != "name"):
        lines += _difference(
            key, value_of(run.study.common, key), value_of(other.study.common, key)
        )
    for method in shared:
        both = run.study.by_method[method], other.study.by_method[method]
        for key in OF_METHODS:
            lines += _difference(f"{key}, {method}", *(value_of(config, key) for config in both))
    for fact in ("cpu", "code_sha256"):
        lines += _difference(fact, run.environment.get(fact), other.environment.get(fact))
    return lines


def comparison_text(run: Run, other: Run) -> str:
    """Return ``differences`` as lines to print below the summary of ``run``."""
    lines = differences(run, other) or ["nothing: the same settings, precision, processor and code"]
    head = f"In what {run.folder} and {other.folder} differ besides their results:"
    return "\n".join(["", head, *(f"- {line}" for line in lines), ""])


def _difference(name: str, here: object, there: object) -> list[str]:
    return [f"{name}: {here!r}, {there!r}"] if here != there else []
