"""What a round's replies add up to: bytes on the way, and the score that chooses a round."""

from collections.abc import Iterable

import numpy as np

from federated.exchange.wire import ALL_SITES, Report
from server.asking import Replies


def traffic(*phases: Replies) -> list[Report]:
    """Return the bytes of tensors to and from each site in a round, as reports.

    Those of pooled training are its first site's.
    """
    reports = []
    for site in sorted({site for phase in phases for site in phase.by_site}):
        replies = [phase.by_site[site] for phase in phases if site in phase.by_site]
        numbers = {
            "bytes_down": float(sum(reply.bytes_down for reply in replies)),
            "bytes_up": float(sum(reply.bytes_up for reply in replies)),
        }
        examples = max(reply.num_examples for reply in replies)
        name = replies[0].reports[0].site if site == ALL_SITES else site
        reports.append(Report(name, "train", "current", examples, numbers))
    return reports


def validation_score(reports: Iterable[Report]) -> float | None:
    """Return the unweighted mean over the sites of validation AUC; sites without one are left out.

    Minus the mean loss if no site has an AUC, None if none has a finite loss either. No test report
    is read. A value that is not finite never counts: one such would win or lose every comparison.
    """
    val = [r.metrics for r in reports if r.split == "val"]
    aucs = [m["auc"] for m in val if np.isfinite(m["auc"])]
    if aucs:
        return float(np.mean(aucs))
    losses = [m["loss"] for m in val if np.isfinite(m["loss"])]
    return -float(np.mean(losses)) if losses else None
