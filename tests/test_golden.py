"""Numbers never change silently: every method's losses on a tiny federation, written down.

    CONSILIUM_UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py

writes them anew; the commit that does so says why they changed.
"""

import json
import os
from pathlib import Path

import pytest

from federated.config.presets import METHODS

GOLDEN = Path(__file__).parent / "golden.json"
TOLERANCE = 2e-3
"""Processors add in different orders; after two tiny rounds that is far below this."""


def test_losses_are_the_written_ones(run_tiny) -> None:
    run = run_tiny(methods=",".join(METHODS))
    found: dict[str, dict[str, float]] = {}
    losses = run.metrics.query("metric == 'loss' and model == 'current' and round == 2")
    for row in losses.itertuples():
        found.setdefault(row.method, {})[f"{row.site}/{row.split}"] = round(row.value, 6)
    if os.environ.get("CONSILIUM_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    written = json.loads(GOLDEN.read_text())
    assert found.keys() == written.keys()
    for method, numbers in written.items():
        assert found[method] == pytest.approx(numbers, abs=TOLERANCE), method
