"""What the federation is worth to a hospital that it has never seen: each is left out in turn.

The hospital left out has no batch norm in the federation, so it gets one by a policy
(``federated.unseen.norms``), or the re-estimated model fitted to a few labelled images. Beside
them stands what it reaches alone with all of its own training images. Its test images are looked
at once, by models that are final.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from federated.config.given import Given
from federated.config.presets import ALONE
from federated.config.study import parse
from federated.data import load_site, site_names
from federated.data.site import SiteData
from federated.errors import UserError
from federated.plots.rows import MOST_ROWS, name_rows, shifts
from federated.plots.style import DOUBLE, SITE_COLOURS, legend_below, panels, styled
from federated.plots.text import DASH
from federated.questions.finding import Finding
from federated.questions.trials import the_method, trial
from federated.rollout.scenario import scenario_of
from federated.runs.reading import Run
from federated.statistics.scored import Scored
from federated.unseen.evaluating import scored
from federated.unseen.images import as_images, numbered_groups
from federated.unseen.models import State, compute_of, last_states, site_state
from federated.unseen.norms import POLICIES, Newcomer, state_by
from federated.unseen.tuning import few_of, fine_tuned

FEWEST = 3
"""Hospitals: two are needed to federate without the third."""


def ask(given: Given, folder: Path, *, left_out: str = "", labelled: int = 20) -> Finding:
    """Return what each hospital gets of a federation that was made without it.

    Args:
        given: The checked configuration.
        folder: Of the runs, each in a folder of its own below it.
        left_out: Names of hospitals to leave out in turn, with commas between; none: all.
        labelled: Images of the hospital's own that fine-tuning gets, labels and all; 0: none.

    Raises:
        UserError: there are fewer than three hospitals, none of a name, or more methods than one.
    """
    method, common = the_method(given), parse(given).common
    everyone = list(scenario_of(common.rollout, common.calendars, site_names(common)).hospitals)
    sites = [name.strip() for name in left_out.split(",") if name.strip()] or everyone
    if len(everyone) < FEWEST:
        raise UserError(f"to leave one out takes {FEWEST} hospitals; there are {len(everyone)}.")
    for name in sites:
        if name not in everyone:
            raise UserError(f"--of: there is no hospital {name} among {', '.join(everyone)}.")
    if labelled < 0:
        raise UserError(f"--labelled {labelled}: give a number of images, 0 for none.")
    models: list[Scored] = []
    for site in sites:
        others = ",".join(name for name in everyone if name != site)
        without = {"methods": method, "rollout.only": others}
        run = trial(given, folder / f"without-{site}", without)
        lone = trial(given, folder / f"alone-{site}", {"methods": ALONE, "rollout.only": site})
        models += _of_site(run, lone, site, method, labelled)
    numbers = pd.DataFrame([_row(one) for one in models])
    words = (
        f"Test AUC of each hospital with {method} that was federated without it, mean over seeds, "
        "with 95 % over images and seeds, by the batch norm that it gets. The mean and the nearest "
        "site's batch norm leave their hospitals for it, which a simulation may do; "
        f"re-estimated: on its own unlabelled training images; fine-tuned: on {labelled} labelled "
        "ones besides; alone: trained on all of its own."
    )
    return Finding(words, numbers, table(numbers), figure(numbers))


def _of_site(run: Run, lone: Run, site: str, method: str, labelled: int) -> list[Scored]:
    data = load_site(run.study.common, site)
    by_policy: dict[str, list[State]] = {}
    for seed in run.study.common.seeds:
        for policy, state in _states(run, data, method, seed, labelled).items():
            by_policy.setdefault(policy, []).append(state)
    made = [_scored(run, data, method, policy, states) for policy, states in by_policy.items()]
    kept = [site_state(lone, site, ALONE, seed) for seed in lone.study.common.seeds]
    return [*made, _scored(lone, data, ALONE, "alone", kept)]


def _states(run: Run, data: SiteData, method: str, seed: int, labelled: int) -> Mapping[str, State]:
    config, compute = run.study.by_method[method], compute_of(run.study.by_method[method])
    own = as_images(data.train, config.data.image_size)
    newcomer, states = Newcomer(data.name, own), last_states(run, method, seed)
    found = {
        policy: state_by(policy, states, newcomer, config, seed, compute=compute)
        for policy in POLICIES
    }
    if labelled:
        few = few_of(own, labelled, data.name, seed)
        begin = found["re-estimated"]
        found["fine-tuned"] = fine_tuned(begin, few, config, data.name, seed, compute=compute)
    return found


def _scored(run: Run, data: SiteData, method: str, policy: str, states: list[State]) -> Scored:
    groups = numbered_groups(run.study.common, data.name, data.test.ids)
    one = scored(run, method, states, data.test, site=data.name, groups=groups)
    return replace(one, method=policy)


def _row(one: Scored) -> dict[str, object]:
    value, low, high = one.mean_auc
    return {"site": one.site, "policy": one.method, "auc": value, "low": low, "high": high,
            "images": len(one.labels), "seeds": len(one.seeds)}  # fmt: skip


def table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers as text, a row per hospital and a column per policy."""
    texts = [
        f"{auc:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(auc) else DASH
        for auc, low, high in numbers[["auc", "low", "high"]].to_numpy(dtype=np.float64)
    ]
    wide = numbers.assign(text=texts).pivot(index="site", columns="policy", values="text")
    return wide[list(dict.fromkeys(numbers["policy"]))].rename_axis(columns=None).reset_index()


@styled
def figure(numbers: pd.DataFrame) -> Figure:
    """Draw a row per hospital left out, and in it a dot with its interval per policy."""
    sites = list(dict.fromkeys(numbers["site"]))[:MOST_ROWS]
    policies = list(dict.fromkeys(numbers["policy"]))
    drawn, [ax] = panels(1, width=DOUBLE, height=0.5 + 0.45 * len(sites))
    handles = []
    for policy, shift, colour in zip(policies, shifts(len(policies)), SITE_COLOURS, strict=False):
        rows = numbers[(numbers["policy"] == policy) & numbers["site"].isin(sites)]
        heights = [sites.index(site) + shift for site in rows["site"]]
        spread = [rows["auc"] - rows["low"], rows["high"] - rows["auc"]]
        handles.append(
            ax.errorbar(
                rows["auc"], heights, xerr=spread, fmt="o", ms=3.5, elinewidth=0.9, capsize=2,
                color=colour, label=policy,
            )
        )  # fmt: skip
    name_rows(ax, sites)
    ax.set_xlabel("AUC (test) of the hospital left out")
    legend_below(drawn, handles)
    return drawn
