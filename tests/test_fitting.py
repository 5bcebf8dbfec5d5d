"""A page that would be too large to send: what is left out of it, and in which order."""

import pytest

from federated.report import fitting

WIDE = '<figure id="figure-{}"><picture><source srcset="{}"><img src="{}"></picture></figure>'


def page(**sizes: int) -> str:
    figures = (WIDE.format(name.replace("_", ": "), "p" * n, "w" * n) for name, n in sizes.items())
    return f"<h1>a</h1>{''.join(figures)}<p>é</p>"


@pytest.mark.parametrize("most", [10_000, 2300, 1200, 1])
def test_phones_lose_their_drawings_first_then_the_largest_picture_goes(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(fitting, "LARGEST", most)
    found = fitting.fitting(page(roc=1500, run_memory=400))
    assert found.startswith("<h1>a</h1>") and found.endswith("<p>é</p>")
    assert ("<source" in found) == (most == 10_000)
    assert ("w" * 1500 in found) == (most >= 2300)
    assert ("roc.png in the plots of the run." in found) == (most < 2300)
    assert ("w" * 400 in found) == (most > 1)
    assert ("memory.png in the plots of run." in found) == (most == 1)
