"""Every method against another, which as a rule is each hospital alone, on the same test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from federated.config.evaluation import Compare
from federated.errors import UserError
from federated.lazy import pd
from federated.statistics.areas import delong_p
from federated.statistics.interval import Interval, of_replicates
from federated.statistics.scored import Scored
from federated.statistics.several import holm, wilcoxon_p

NOT_WORSE, WORSE, UNDECIDED = "not worse", "worse", "undecided"
BETTER = "better"
VERDICTS = (BETTER, NOT_WORSE, UNDECIDED, WORSE)


def reference_of(models: Sequence[Scored], wanted: str) -> str:
    """Return the method to compare with: the wanted one, else the first there is.

    Raises:
        UserError: there is but one method, or none.
    """
    methods = list(dict.fromkeys(one.method for one in models))
    if len(methods) < 2:
        raise UserError(
            f"there is nothing to compare: {', '.join(methods) or 'no method'} has predictions; "
            "run two methods, or name two runs."
        )
    return wanted if wanted in methods else methods[0]


def pairs(models: Sequence[Scored], reference: str) -> Iterator[tuple[Scored, Scored]]:
    """Yield each model with the reference's at the same site, both of the seeds that both have."""
    references = {one.site: one for one in models if one.method == reference}
    for one in models:
        other = references.get(one.site)
        if other is None or one is other:
            continue
        if seeds := [seed for seed in one.seeds if seed in other.seeds]:
            yield one.of_seeds(seeds), other.of_seeds(seeds)


def by_seed(models: Sequence[Scored], reference: str) -> pd.DataFrame:
    """Return a row per site, method and seed: the difference in AUC and DeLong's paired test.

    ``p_holm`` is corrected for all rows, since each of them could have been the one shown.
    """
    rows = [
        {
            "site": one.site,
            "method": one.method,
            "seed": seed,
            **dict(zip(("difference", "p"), delong_p(mine, theirs, one.labels), strict=True)),
        }
        for one, other in pairs(models, reference)
        for seed, mine, theirs in zip(one.seeds, one.scores, other.scores, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["site", "method", "seed", "difference", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=np.float64)))


def against(models: Sequence[Scored], reference: str, compare: Compare) -> pd.DataFrame:
    """Return a row per site and method: mean difference in AUC, its interval, and a verdict.

    The interval is by bootstrap over groups of images and seeds, both methods on the same draws.
    With the margin m that the configuration fixed before the run: ``better`` if all of the interval
    is above 0, ``not worse`` if it is above -m, ``worse`` if it is below 0, else ``undecided``.
    """
    rows = []
    for one, other in pairs(models, reference):
        difference = mean_difference(one, other)
        margin = compare.margin_of(len(one.labels))
        rows.append(
            {
                "site": one.site,
                "method": one.method,
                "seeds": len(one.seeds),
                "images": len(one.labels),
                "difference": difference.value,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "margin": margin,
                "verdict": verdict(difference, margin),
            }
        )
    return pd.DataFrame(rows)


def mean_difference(one: Scored, other: Scored) -> Interval:
    """Return the mean over seeds of AUC(one) - AUC(other), and its interval."""
    draws = one.over_seeds(one.auc_draws - other.auc_draws)
    return of_replicates(float((one.aucs - other.aucs).mean()), draws)


def verdict(difference: Interval, margin: float) -> str:
    """Return what an interval of a difference says with a margin of non-inferiority."""
    if difference.low > 0:
        return BETTER
    if difference.low > -margin:
        return NOT_WORSE
    return WORSE if difference.high < 0 else UNDECIDED


def over_sites(table: pd.DataFrame) -> pd.DataFrame:
    """Return of ``by_seed`` a row per method: Wilcoxon's test over pairs of site and seed.

    It asks whether the method is better over hospitals and seeds like these; pairs of one hospital
    share their test images, so it says less of patients than its p suggests.
    """
    rows = [
        {
            "method": method,
            "pairs": len(group),
            "mean_difference": group["difference"].mean(),
            "better": int((group["difference"] > 0).sum()),
            "p": wilcoxon_p(group["difference"].to_numpy(dtype=np.float64)),
        }
        for method, group in table.groupby("method", sort=False)
    ]
    told = pd.DataFrame(rows, columns=["method", "pairs", "mean_difference", "better", "p"])
    return told.assign(p_holm=holm(told["p"].to_numpy(dtype=np.float64)))
