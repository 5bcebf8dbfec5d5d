"""Hospitals with noise and masks, one of them killed: it ends with the bits of the simulation."""

import json
from pathlib import Path

import pytest
from test_deploy import SETTINGS, is_the_simulation, run_with_one_killed

from clients.protection import ACCOUNT

Accounts = dict[str, list[dict[str, object]]]
PROTECTED = {
    "methods": "fedbn",
    "privacy.unit": "site",
    "privacy.clip": 1,
    "privacy.noise": 5,
    "privacy.randomness": "seeded",  # a secret of a site's own would give bits of its own
    "privacy.secure-aggregation": True,
}
SITES = 3
"""Fewer could not hide in a sum."""


@pytest.mark.deploy
def test_a_killed_hospital_goes_on_and_no_account_is_smaller(tmp_path: Path, run_tiny) -> None:
    hospitals = tmp_path / "deployment" / "hospitals"
    before: Accounts = {}
    settings = {**SETTINGS, **PROTECTED, "phantom.sites": SITES}
    found = run_with_one_killed(tmp_path, settings, lambda: before.update(accounts(hospitals)))
    words = {key.replace(".", "__").replace("-", "_"): v for key, v in PROTECTED.items()}
    expected = run_tiny("simulation", phantom__sites=SITES, **words)
    is_the_simulation(found, expected, "fedbn")
    after = accounts(hospitals)
    assert before and after == accounts(expected.folder / "sites") and len(after) == SITES
    assert all(entries == after[site][: len(entries)] for site, entries in before.items())


def accounts(folder: Path) -> Accounts:
    """Return what each site has spent, from the vaults under a folder with a folder a site."""
    return {
        path.relative_to(folder).parts[0]: json.loads(path.read_text())
        for path in folder.rglob(ACCOUNT)
    }
