"""The scored test images that figures with intervals are drawn of."""

from collections.abc import Sequence

from federated.plots.numbers import NothingToDrawError, shown_sites, used_or_kept, values
from federated.runs.reading import Run
from federated.statistics.images import scored_once
from federated.statistics.scored import Scored


def tested(run: Run, model: str) -> tuple[list[Scored], list[str], str]:
    """Return the scored models of the sites that get a panel, these sites, and a note on others.

    Args:
        run: The run.
        model: ``final`` or ``kept``; empty: what the hospitals use by now (``used_or_kept``).

    Raises:
        NothingToDrawError: no site's predictions are readable here.
    """
    model = model or used_or_kept(run)
    models = scored_once(run, model)
    if not models:
        raise NothingToDrawError(f"{run.folder} holds no predictions of {model} models.")
    shown, note = shown_sites(values(run, "auc", "test", model), "auc")
    there = {one.site for one in models}
    sites = [site for site in shown if site in there]
    return [one for one in models if one.site in sites], sites, note


def methods_of(models: Sequence[Scored]) -> list[str]:
    """Return the methods in the run's order."""
    return list(dict.fromkeys(one.method for one in models))
