"""The page of a run in headless Chromium: wide and narrow, light and dark, with nothing amiss."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_plots import (
    METHOD_NAMES,
    SITES,
    full_rows,
    site_folder,
    write_norms,
    write_predictions,
    write_run,
)

from federated.report import write_summary
from federated.report.markup import section
from federated.report.page import document

pytestmark = pytest.mark.browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seeds = (0, 1, 2)
    run = write_run(tmp_path_factory.mktemp("run"), full_rows(seeds=seeds, rounds=3), seeds=seeds)
    for site in SITES:
        for method in METHOD_NAMES:
            for seed in seeds:
                folder = site_folder(run, site, method, seed)
                write_predictions(folder, [0.1, 0.7, 0.4, 0.9, 0.3], [0, 1, 0, 1, 1])
                write_norms(folder, n=([float(site == "birch")], [1.0]))
    return write_summary(run)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("there is no Chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_whole_at_any_width_and_in_the_dark(
    page: Path, browser: Any, width: int, scheme: str
) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    amiss: list[str] = []
    shown.on("console", lambda said: amiss.append(said.text) if said.type == "error" else None)
    shown.on("pageerror", lambda error: amiss.append(str(error)))
    shown.on("request", lambda asked: amiss.append(asked.url) if _is_remote(asked.url) else None)
    shown.goto(page.as_uri())
    shown.wait_for_selector(".curve .bk-Figure canvas")
    assert amiss == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    heights = shown.eval_on_selector_all("figure img", "found => found.map(i => i.naturalHeight)")
    assert len(heights) == len(list((page.parent / "plots").iterdir())) and min(heights) > 0
    assert shown.locator(".curve").count() == len(METHOD_NAMES)
    told = shown.eval_on_selector_all("h1, h2, h3, h4", "found => found.map(h => h.tagName)")
    levels = [int(name[1]) for name in told]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(shown.eval_on_selector_all("img", "found => found.map(i => i.alt)"))
    shown.close()


def _is_remote(url: str) -> bool:
    return not url.startswith(("file:", "data:", "blob:"))


def test_a_button_hides_its_hospital_in_every_panel_also_by_the_keyboard(
    page: Path, browser: Any
) -> None:
    shown = browser.new_page()
    shown.goto(page.as_uri())
    shown.wait_for_selector(".curve .bk-Figure canvas")
    visible = (
        "name => Bokeh.documents.flatMap(d => d.roots()).flatMap(p => p.renderers)"
        ".filter(r => r.name === name).map(r => r.visible)"
    )
    button = shown.locator(".sites button").first
    name = button.get_attribute("value")
    assert len(shown.evaluate(visible, name)) == 3 * len(METHOD_NAMES)  # band, line, dots
    button.focus()
    shown.keyboard.press("Enter")
    assert not any(shown.evaluate(visible, name))
    assert button.get_attribute("aria-pressed") == "false"
    shown.keyboard.press("Enter")
    assert all(shown.evaluate(visible, name))
    shown.close()


def test_a_folded_table_is_printed(tmp_path: Path, browser: Any) -> None:
    rows = pd.DataFrame({"site": ["alder", "birch"], "method": ["fedavg", "local"]})
    folded = tmp_path / "page.html"
    folded.write_text(document("folded", [section("Rows", rows, "two", most=1)]), encoding="utf-8")
    shown = browser.new_page()
    shown.goto(folded.as_uri())
    visible = "() => document.querySelector('details table').checkVisibility("
    visible += "{contentVisibilityAuto: true})"
    assert not shown.evaluate(visible)
    shown.emulate_media(media="print")
    shown.wait_for_function(visible, timeout=5000)  # a frame has to be laid out anew
    shown.close()
