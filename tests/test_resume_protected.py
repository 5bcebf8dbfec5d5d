"""A run with noise or masks goes on as if nothing had happened, and forgets nothing it spent."""

import json
from pathlib import Path

import pandas as pd
import pytest
from test_laws import numbers
from test_messages import load_with
from test_resume import PowerCutError, cut_after

from clients.protection import ACCOUNT
from federated.engine import run
from federated.runs.reading import load

GROUP = {"methods": "fedavg", "model__norm": "group"}
PROTECTED = {
    "site": {"methods": "fedbn", "privacy__unit": "site", "privacy__clip": 1, "privacy__noise": 5},
    "record": {**GROUP, "privacy__unit": "record", "privacy__clip": 1, "privacy__noise": 1},
    "masked": {"methods": "fedavg", "privacy__secure_aggregation": True},
}


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("site", 4),
        ("site", 9),
        pytest.param("record", 9, marks=pytest.mark.slow),
        # Of a masked round with three sites: keys 3-5, shares 6-8, updates 9-11, unmasking 12-14.
        *(("masked", count) for count in (5, 8, 11, 13)),
    ],
)
def test_a_protected_run_resumes_to_the_bit_and_has_spent_no_less(
    tiny, kind: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = (tiny(name, rounds=2, **PROTECTED[kind]) for name in ("whole", "cut"))
    run(whole)
    monkeypatch.setattr("federated.engine.running.load_app", load_with(cut_after(count)))
    with pytest.raises(PowerCutError):
        run(cut)
    monkeypatch.undo()
    before = accounts(cut)
    run(cut)
    method = str(PROTECTED[kind]["methods"])
    expected, found = (load(given["folder"]) for given in (whole, cut))
    pd.testing.assert_frame_equal(
        numbers(expected, method), numbers(found, method), check_exact=True
    )
    one, other = (r.folder / method / "seed-0" / "shared.safetensors" for r in (expected, found))
    assert one.read_bytes() == other.read_bytes()
    after = accounts(cut)
    assert after == accounts(whole)
    if kind != "masked":
        assert len(after) == 3 and any(before.values())
    # What has been entered stays where it is, and nothing is entered twice.
    assert all(entries == after[site][: len(entries)] for site, entries in before.items())


def accounts(given: dict[str, str]) -> dict[str, list[dict[str, object]]]:
    """Return what the sites of a run with one cell have spent, entry by entry."""
    sites = Path(given["folder"]) / "sites"
    return {
        path.relative_to(sites).parts[0]: json.loads(path.read_text())
        for path in sites.rglob(ACCOUNT)
    }
