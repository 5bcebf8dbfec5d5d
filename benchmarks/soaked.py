"""What a soak has shown: how memory changes, and what is not the simulation's."""

from collections.abc import Iterator

import pandas as pd
import statsmodels.api as sm

from federated.deploy.local import Deployment
from federated.runs.reading import Run

SETTLED = 10
"""Rounds at first that a slope leaves out: caches fill."""
LAG = 5
"""Rounds over which samples are taken to depend on each other."""
MEASURED = ("seconds", "bytes_up", "bytes_down")
"""Metrics that a clock or the wire decides."""


def slopes(samples: pd.DataFrame) -> Iterator[str]:
    """Yield a row for each process that lived through: its memory and how that changes.

    Samples of neighbouring rounds resemble each other, so the interval is Newey and West's.
    """
    yield "| whose | process | first, MB | last, MB | MB in 100 rounds (95 % interval) |"
    yield "|---|---|---|---|---|"
    for (who, program), rows in samples.groupby(["who", "program"]):
        late, slope = rows[rows["round"] > SETTLED], "not enough rounds"
        if len(late) > 2 * LAG:
            fit = sm.OLS(late.mb, sm.add_constant(late["round"])).fit(
                cov_type="HAC", cov_kwds={"maxlags": LAG}, use_t=True
            )
            low, high = fit.conf_int().loc["round"] * 100
            slope = f"{fit.params['round'] * 100:.1f} ({low:.1f} to {high:.1f})"
        yield f"| {who} | {program} | {rows.mb.iloc[0]:.0f} | {rows.mb.iloc[-1]:.0f} | {slope} |"


def differences(found: Run, expected: Run, deployment: Deployment) -> Iterator[str]:
    """Yield what of a run is not the simulation's, to the bit."""
    there, here = (
        run.metrics[~run.metrics.metric.isin(MEASURED)].reset_index(drop=True)
        for run in (found, expected)
    )
    if not there.equals(here):
        yield "metrics.csv"
    shared = "consilium/seed-0/shared.safetensors"
    if (found.folder / shared).read_bytes() != (expected.folder / shared).read_bytes():
        yield shared
    for site in deployment.hospitals:
        [vault] = (deployment.hospital(site) / "vault").glob(f"*/{site}/consilium/seed-0")
        simulated = expected.folder / "sites" / site / "consilium/seed-0"
        for path in sorted(simulated.glob("*.safetensors")):
            other = vault / path.name
            if not other.exists() or other.read_bytes() != path.read_bytes():
                yield f"{site}: {path.name}"
