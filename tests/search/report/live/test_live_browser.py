"""The live page in two real Chromiums, on a run whose ledger grows while they look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from search.ledger.ledger import Ledger
from search.report.live import follow
from tests.search.report.live.serving import add_trial, served
from tests.search.report.test_browser import drawn
from tests.support.browser import CHROMIUM, DRIVER, browser, complaints, wait_for
from tests.support.reported import made

pytest.importorskip("selenium")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver: apt install chromium-driver"
)
READY = "return document.documentElement.dataset.drawn === 'yes'"
SEARCH = "document.querySelector('.plot#plot-search')"
RANGE = f"return {SEARCH}.layout.xaxis.range.map(Number)"


@pytest.fixture(scope="module")
def viewers() -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [stack.enter_context(browser(reaches_here=True)) for _ in range(2)]


def version(driver: Any) -> int:
    return int(driver.execute_script("return document.getElementById('live').dataset.version"))


def zoom(driver: Any) -> None:
    """Drag over the middle of a figure, as a hand does."""
    from selenium.webdriver import ActionChains

    driver.execute_script(f"{SEARCH}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    pane = driver.find_element("css selector", ".plot#plot-search .nsewdrag")
    width = pane.size["width"]
    ActionChains(driver).move_to_element_with_offset(pane, -width // 4, -30).click_and_hold(
    ).move_by_offset(width // 2, 60).release().perform()  # fmt: skip


def test_figures_follow_the_run_and_keep_zoom_and_place(
    viewers: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LEAST", 0.2)
    for name in ("WORDS", "FIGURES", "FIGURE"):
        monkeypatch.setattr(follow, name, 10.0)
    run = made(tmp_path / "run", 12, result=False)
    with Ledger.open(run) as ledger, served(run) as url:
        first, second = viewers
        for driver in viewers:
            driver.get(url)
            wait_for(driver, READY)
        assert complaints(first) == complaints(second) == []
        shown = version(first)
        points = f"return {SEARCH}.data[0].x.length"
        had = first.execute_script(points)

        before = first.execute_script(RANGE)
        zoom(first)
        zoomed = first.execute_script(RANGE)
        assert zoomed[1] - zoomed[0] < 0.7 * (before[1] - before[0])
        first.execute_script(
            "document.querySelector('#failures details, #curves details').open = true;"
            f"window.marked = {SEARCH}"
        )
        place = f"return {SEARCH}.getBoundingClientRect().top"
        top = first.execute_script(place)

        number = add_trial(ledger, 101, 0.97)
        running = add_trial(ledger, 102, 0.5, ends=False)
        for driver in viewers:
            wait_for(driver, f"return document.getElementById('live-trial-{running}') !== null")
            wait_for(driver, READY)
            wait_for(driver, f"{points} > {had}")
        assert version(first) > shown
        # The second viewer, who has not zoomed, sees the new trial; the first keeps what was set.
        wide = second.execute_script(RANGE)
        assert wide[1] > before[1]
        assert first.execute_script(RANGE) == zoomed
        assert first.execute_script(f"return {SEARCH} === window.marked")
        assert abs(first.execute_script(place) - top) < 2
        assert first.execute_script("return document.querySelectorAll('details[open]').length") == 1
        boxes, figures = drawn(second)
        assert boxes == figures > 8
        row = first.execute_script(
            f"return document.getElementById('live-trial-{running}').textContent"
        )
        assert "running" in row
        said = second.execute_script("return document.querySelector('header').textContent")
        assert "0.97" in said

        link = first.find_element("css selector", f"#live-trial-{number} a[href$='/log']")
        text = first.execute_async_script(
            "var done = arguments[1]; fetch(arguments[0]).then(r => r.text()).then(done)",
            link.get_attribute("href"),
        )
        assert f"trial {number}: explore" in text

        # The number of a trial that came while the page was open leads to it.
        first.execute_script(
            f"document.querySelector('#live-trial-{number} a[href=\"#trial-{number}\"]').click()"
        )
        wait_for(first, "return document.querySelector('#trial[open] .trial-plot .trace') !== null")
        told = first.execute_script("return document.getElementById('trial').textContent")
        assert f"Trial {number}" in told
        assert "0.97" in told
        assert f"trm export run --trial {number}" in told
        served_as = (
            "return [...document.querySelectorAll('#trial p a[target]')].map(a => a.pathname)"
        )
        assert first.execute_script(served_as) == [
            f"/trials/{number}/log", f"/trials/{number}/config",
        ]  # fmt: skip
        first.execute_script("document.querySelector('#trial .close').click()")
        assert complaints(first) == complaints(second) == []


def test_shade_and_copy_still_work_on_what_was_put_in_place(
    viewers: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LEAST", 0.2)
    run = made(tmp_path / "run", 3, result=False)
    with Ledger.open(run) as ledger, served(run) as url:
        driver = viewers[0]
        driver.get(url)
        wait_for(driver, READY)
        complaints(driver)  # of the server before, which has ended
        for seed in range(3):
            add_trial(ledger, seed, 0.5)
        wait_for(driver, "return document.getElementById('live-trial-5') !== null", 90)
        wait_for(driver, READY)
        driver.execute_script("document.querySelector('button[data-copies]').click()")
        wait_for(
            driver,
            "return [...document.querySelectorAll('button[data-copies]')].some(b => "
            "['copied', 'selected'].includes(b.textContent))",
        )
        driver.execute_script("document.getElementById('shade').click()")
        wait_for(driver, READY)
        driver.execute_script("localStorage.clear()")
        assert complaints(driver) == []
    wait_for(driver, "return document.getElementById('live').dataset.state === 'problem'")
    assert "server has ended" in driver.find_element("css selector", "#live output").text
