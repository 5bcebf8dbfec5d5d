"""What a run was, on what it ran, and how to run it again."""

import shlex
from collections.abc import Sequence

import pandas as pd

from federated.report.precision import precision_text
from federated.runs.reading import Run

MOST_SITES = 16


def facts(run: Run) -> dict[str, str]:
    """Return what is said under the answer: name of a fact to its text, empty if unknown."""
    common = run.study.common
    began = str(run.events["time"].min())[:16].replace("T", " ") if "time" in run.events else ""
    cells = len(run.study.cells())
    done = [run.study.by_method[m].rounds == last for (m, _), last in run.reached.items()]
    missing = cells - sum(done)
    rounds = sorted({config.rounds for config in run.study.by_method.values()})
    return {
        "began": f"{began} UTC" if began else "",
        "methods": ", ".join(common.methods),
        f"{len(run.sites)} hospitals": _some(run.sites),
        "rounds": ", ".join(map(str, rounds)),
        "seeds": ", ".join(map(str, common.seeds)),
        "not finished": f"{missing} of {cells} (method, seed)" if missing else "",
    }


def _some(sites: Sequence[str]) -> str:
    """Return the names of sites, or of many the first."""
    left = len(sites) - MOST_SITES
    return ", ".join([*sites[:MOST_SITES], *([f"and {left} more"] if left > 0 else [])])


def to_repeat(run: Run) -> str:
    """Return the commands that repeat a run exactly, beside its folder; no path of this machine."""
    known, name = run.environment, run.folder.absolute().name
    words = ["consilium", "run", f"{name}/{run.files.config.name}", f"folder={name}-again"]
    lines = [shlex.join(words)]
    if known.get("commit"):
        lines.insert(0, f"git checkout {known['commit']}")
    return "\n".join(lines)


def environment_table(run: Run) -> pd.DataFrame:
    """Return versions, processor, precision and code, a row each."""
    known = run.environment
    versions = {"python": known.get("python"), **known.get("packages", {})}
    dirty = " with changes" if known.get("commit_is_dirty") else ""
    told = {
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items() if number),
        "processor": f"{known.get('cpu')}, {known.get('cores')} cores",
        "precision": precision_text(run),
        "GPUs": ", ".join(known.get("gpus", [])) or "none",
        "system": str(known.get("system")),
        "commit": f"{known.get('commit') or 'unknown'}{dirty}",
        "code SHA-256": str(known.get("code_sha256", "unknown")),
        "seeds": ", ".join(map(str, run.study.common.seeds)),
    }
    return pd.DataFrame({"fact": list(told), "value": list(told.values())})
