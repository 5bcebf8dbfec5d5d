"""``consilium run --dry-run``: what would run, about how long, and how much disk it would take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated.config.study import Study
    from federated.data import SiteSummary

MEGABYTE = 1e6


def forecast(study: "Study", sites: "Sequence[SiteSummary]") -> str:
    """Return what a run would do, as text; nothing of it is done but timing one batch.

    Args:
        study: The run.
        sites: What each hospital holds.
    """
    import pandas as pd

    from federated.engine.estimate import estimates
    from federated.plots.terminal import printed

    common, found = study.common, estimates(study, sites)
    seeds, workers = len(common.seeds), _workers(study)
    rows = [
        {
            "method": one.method,
            "rounds": f"{study.by_method[one.method].rounds:,}",
            "steps, all sites": f"{one.steps:,}",
            "images evaluated": f"{one.looks:,}",
            "MB a site and round": f"{one.sent / MEGABYTE:.2f}",
            "one seed": duration(one.seconds),
        }
        for one in found
    ]
    seconds = seeds * sum(one.seconds for one in found)
    busy = min(workers, len(sites) * len(study.cells()))  # cells go side by side
    beside = f", {duration(seconds / busy)} on {busy}" if busy > 1 else ""
    disk = seeds * sum(one.disk for one in found) / MEGABYTE
    return "\n".join(
        (
            f"{len(common.methods)} methods × {seeds} seeds at {len(sites)} sites; "
            "nothing was run.",
            "",
            printed(pd.DataFrame(rows)),
            "",
            f"time: about {duration(seconds)} on one core of this machine{beside}, from one timed "
            "batch of each method's network; the start, losses beside cross-entropy, recalibration "
            "and plots come on top.",
            f"disk: about {disk:,.0f} MB of private states and checkpoints, and the tables.",
        )
    )


def _workers(study: "Study") -> int:
    from federated.data.formats.images import cores

    engine = study.common.engine
    if engine.kind == "inline":
        return 1
    return engine.workers or max(1, cores() // engine.threads)


def duration(seconds: float) -> str:
    """Return a duration as a reader says it: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
