"""Numbers never change silently: every method's losses on a tiny federation, written down.

    CONSILIUM_UPDATE_GOLDEN=1 python -m pytest tests/test_golden.py

writes them anew, a file a method; the commit that does so says why they changed.
"""

import json
import os
from pathlib import Path

import pytest

from federated.config.presets import METHODS
from federated.runs.reading import Run

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-3
"""Processors add in different orders; after two tiny rounds that is far below this."""


def losses(run: Run) -> dict[str, float]:
    last = run.metrics.query("metric == 'loss' and model == 'current' and round == 2")
    return {f"{row.site}/{row.split}": round(row.value, 6) for row in last.itertuples()}


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_the_written_ones(run_tiny, method: str) -> None:
    found = losses(run_tiny(methods=method, eval__test="rounds"))
    path = GOLDEN / f"{method}.json"
    if os.environ.get("CONSILIUM_UPDATE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1) + "\n")
    assert found == pytest.approx(json.loads(path.read_text()), abs=TOLERANCE)
