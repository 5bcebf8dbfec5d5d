"""What a rollout takes: hours, waiting, traffic, money and energy, hospital by hospital."""

import math

import pandas as pd

from federated.runs.columns import ROUND, SITE
from federated.runs.history import events, gains, hospitals, rounds, spent
from federated.runs.reading import Run

AUC_POINT = 0.01

_UPDATES = {"used": "used", "waiting": "late", "dropped": "dropped"}
_ABSENCES = ("outage", "missed")


def waiting(run: Run) -> pd.DataFrame:
    """Return how each hospital spent its time, and whom it kept waiting.

    An update that arrived before its round began waits for the round, and no one for it.

    Returns:
        One row per method, seed, site. Hours: ``computing_hours``, ``transfer_hours``,
        ``waiting_hours`` (from the arrival of its used updates to the end of their rounds) and
        ``held_up_hours`` (that all others of a round waited for it alone: from the last but one
        arrival of the used updates to the last). ``last_share`` is the share of the rounds that
        used its update in which that one was the last, alone. Updates: ``used``, ``late`` (left to
        a later round) and ``dropped``. Rounds: ``outage`` and ``missed``.
    """
    frame = run.timeline[run.timeline["site"] != ""]
    used = frame[frame["activity"] == "used"]
    used = used.assign(waited=used["end"] - used["start"])
    table = spent(run).set_index(SITE)
    table["waiting_hours"] = used.groupby(SITE)["waited"].sum()
    held = _held_up(run, used)
    table["held_up_hours"] = held.groupby(SITE)["held"].sum()
    table["last_share"] = held.groupby(SITE).size()
    updates = frame[frame["activity"].isin(list(_UPDATES))]
    # An update that waits through several rounds is one update.
    updates = updates.drop_duplicates([*SITE, "activity", "start"])
    for activity, column in _UPDATES.items():
        table[column] = updates[updates["activity"] == activity].groupby(SITE).size()
    absent = events(run, "hospital-absent", [*ROUND, "site", "reason"])
    for reason in _ABSENCES:
        table[reason] = absent[absent["reason"] == reason].groupby(SITE).size()
    table = table.fillna(0.0).astype(dict.fromkeys((*_UPDATES.values(), *_ABSENCES), int))
    rounds_used = used.groupby(SITE)["round"].nunique()
    return table.assign(last_share=table["last_share"] / rounds_used).reset_index()


def _held_up(run: Run, used: pd.DataFrame) -> pd.DataFrame:
    """Return the last arrival of each round that others waited for: ``ROUND``, site, held."""
    begun = rounds(run).rename(columns={"start": "begun"})[[*ROUND, "begun"]]
    table = used.merge(begun, how="left")
    table["arrival"] = table[["start", "begun"]].max(axis=1)
    table = table.sort_values("arrival", kind="stable")
    table["held"] = table.groupby(ROUND)["arrival"].diff()
    last = table.groupby(ROUND).tail(1)
    return last[last["held"] > 0]


def cost(run: Run) -> pd.DataFrame:
    """Return what each hospital spent and what it got for it.

    Returns:
        One row per method, seed, site: ``mb_down`` and ``mb_up`` (10^6 bytes of tensors),
        ``compute_hours`` (training and evaluation, virtual), ``money`` (these hours x the
        calendar's cost per hour) and ``kwh`` (x its kilowatts), both NaN if the scenario does not
        say, ``gain`` (test AUC of the kept model over alone) and ``money_per_point`` (per 0.01 of
        that gain; NaN without one).
    """
    frame = run.metrics
    traffic = frame[(frame["split"] == "train") & frame["metric"].isin(["bytes_down", "bytes_up"])]
    sums = traffic.groupby([*SITE, "metric"], sort=False)["value"].sum().unstack("metric") / 1e6
    table = spent(run).rename(columns={"computing_hours": "compute_hours"})
    table = table.drop(columns="transfer_hours")
    sums = sums.reindex(columns=["bytes_down", "bytes_up"]).reset_index()
    sums = sums.rename(columns={"bytes_down": "mb_down", "bytes_up": "mb_up"})
    table = table.merge(sums, on=SITE, how="left").fillna({"mb_down": 0.0, "mb_up": 0.0})
    calendars = {name: hospital.calendar for name, hospital in hospitals(run).items()}
    price = {name: calendar.cost_per_hour or math.nan for name, calendar in calendars.items()}
    power = {name: calendar.kilowatts or math.nan for name, calendar in calendars.items()}
    table["money"] = table["compute_hours"] * table["site"].map(price).astype(float)
    table["kwh"] = table["compute_hours"] * table["site"].map(power).astype(float)
    table = table.merge(gains(run)[[*SITE, "gain"]], on=SITE, how="left")
    points = (table["gain"] / AUC_POINT).where(table["gain"] > 0)
    return table.assign(money_per_point=table["money"] / points)
