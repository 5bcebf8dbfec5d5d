"""Tables in terminals of 60 to 120 columns: each line fits, and no number is broken."""

import re

import pandas as pd
import pytest
from test_plots import write_run
from test_summary import two_seeds

from federated.plots.terminal import printed
from federated.report import summary_table

WIDTHS = (60, 80, 120)
INTERVAL = re.compile(r"[+-]?\d\.\d{3} \[[^\]]*\]")

MIXED = pd.DataFrame(
    {
        "hospital": ["north", "a hospital of a long name"],
        "method": ["consilium", "fedavg"],
        "images": ["40", "1,234"],
        "worst site's AUC": ["0.612 [0.379, 0.833] (phantom-3)", "–"],
        "mean over sites of AUC − local": ["+0.008 [-0.025, +0.043]", "–"],
        "final − local": ["the same model", "-0.004 [-0.099, +0.081]"],
        "spread": ["0.500 ± 0.010 of nothing in particular", "0.250 ± 0.125"],
        "reason": ["no answer within 9 s", "a sentence that goes on and on, over many lines"],
    }
)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_fits_and_every_number_is_whole(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = printed(MIXED)
    assert max(map(len, text.splitlines())) <= width
    numbers = [cell for column in MIXED for cell in MIXED[column] if re.match(r"[-+\d]", cell)]
    wholes = [re.match(r"[-+\d.,]+( \[[^\]]*\]| ± [\d.]+)?", cell) for cell in numbers]
    assert all(found and found[0] in text for found in wholes)
    for words in (*MIXED.columns, *MIXED["reason"]):
        assert all(word in text for word in words.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summary_of_a_run_fits(monkeypatch: pytest.MonkeyPatch, tmp_path, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = summary_table(write_run(tmp_path, two_seeds(), ["local", "fedavg"], (0, 1)))
    assert max(map(len, text.splitlines())) <= width
    assert "|" not in text and "fedavg" in text
    flat = " ".join(text.split())
    assert len(INTERVAL.findall(text)) >= 14 and "clover +0.120 [" in flat
