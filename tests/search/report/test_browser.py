"""The page in a real Chromium: drawn, quiet, harmless, and in its place on a phone."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.report.write import write_report
from search.stability.sensitivity_design import Request
from tests.support.browser import CHROMIUM, DRIVER, browser, complaints, look, wait_for
from tests.support.folders import RUNS_V1
from tests.support.further import ablated, vary
from tests.support.raced import raced
from tests.support.reported import LR, TREE, made

pytest.importorskip("selenium")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver: apt install chromium-driver"
)
HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report(finished, out)
    return out


@pytest.fixture(scope="module")
def further_pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of a sweep whose winner was varied in both designs, of ablations, and of a race."""
    folder = tmp_path_factory.mktemp("further")
    run = made(folder / "varied", 20)
    names = ("optimizer", LR, "model.H_cycles")
    vary(run, Request(params=names, radius=1), lambda t: None if t.params["model.H_cycles"] == 1
         else 0.8 - 0.4 * (t.params.get(LR, 0.1) < 0.01))  # fmt: skip
    vary(run, Request("sobol", names, points=4, seeds=1, radius=1),
         lambda t: t.params.get(LR, 0.1))  # fmt: skip
    ablated(folder / "ablated", {"base": [0.8, 0.84], "wild": [None, 0.5], "softmax": [0.8, 0.83]})
    raced(folder / "raced", {"constraints": ["mean_steps <= 2"]})
    return [Path(str(write_report(folder / name))) for name in ("varied", "ablated", "raced")]


def drawn(driver: Any) -> tuple[int, int]:
    """Figures that there are, and figures that are drawn."""
    count = "return document.querySelectorAll(arguments[0]).length"
    boxes = driver.execute_script(count, ".plot")
    return boxes, driver.execute_script(
        "return [...document.querySelectorAll('.js-plotly-plot')].filter(box => "
        "box.querySelector('svg.main-svg') && box.querySelector('svg.main-svg').clientWidth > 100)"
        ".length"
    )


def test_every_figure_is_drawn_and_the_console_is_quiet(driver: Any, page: Path) -> None:
    look(driver, page)
    boxes, figures = drawn(driver)
    assert boxes == figures > 15
    assert complaints(driver) == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    # What is drawn has marks in it, not axes alone.
    empty = driver.execute_script(
        "return [...document.querySelectorAll('.plot')].filter(box => !box.querySelector("
        "'.trace, .contour, .hm, path.js-line, .barlayer path')).map(box => box.id)"
    )
    assert empty == []


@pytest.mark.parametrize(
    "width", [390, *(pytest.param(width, marks=pytest.mark.slow) for width in (320, 768, 1280))]
)
def test_nothing_sticks_out(driver: Any, page: Path, width: int) -> None:
    look(driver, page, width)
    driver.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    wider = driver.execute_script(
        "return [...document.querySelectorAll('.plot svg.main-svg')].filter(svg => "
        "svg.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert wider == 0
    listed = "return getComputedStyle(document.querySelector('nav > ol')).display"
    assert (driver.execute_script(listed) == "block") is (width >= 1080)
    if width < 1080:  # a button unfolds the contents, and a link folds them again
        driver.execute_script("document.querySelector('nav .fold').click()")
        assert driver.execute_script(listed) == "block"
        driver.execute_script("document.querySelector('nav a[href=\"#q-fails\"]').click()")
        assert driver.execute_script(listed) == "none"


def ink(driver: Any) -> tuple[str, str]:
    """The colours of the page's text and of a figure's."""
    found = driver.execute_script(
        "return [getComputedStyle(document.body).color, "
        "getComputedStyle(document.querySelector('#curves .xtick text')).fill]"
    )
    return found[0], found[1]


def test_dark_and_light(driver: Any, page: Path) -> None:
    look(driver, page)
    light = ink(driver)
    assert light == ("rgb(31, 35, 40)", "rgb(31, 35, 40)")
    look(driver, page, dark=True)
    dark = ink(driver)
    assert dark == ("rgb(232, 232, 228)", "rgb(232, 232, 228)")
    left = driver.execute_script(
        "return document.querySelector('main').innerHTML.match(/rgb\\(31, 35, 40\\)|#1f2328/g)"
    )
    assert left is None, "something is still in the ink of a light page"
    # The button goes from the system's shade to light and to dark.
    driver.execute_script("document.getElementById('shade').click()")
    wait_for(driver, "return document.documentElement.dataset.shade === 'light'")
    wait_for(
        driver,
        "return getComputedStyle(document.querySelector('#curves .xtick text')).fill === "
        f"'{light[1]}'",
    )
    driver.execute_script("document.getElementById('shade').click()")
    driver.execute_script("localStorage.clear()")
    assert complaints(driver) == []


def test_a_name_stays_a_name(driver: Any, tmp_path: Path) -> None:
    tree = deepcopy(TREE)
    tree["name"] = HOSTILE
    tree["optimizer"]["choice"]["options"][0]["label"] = HOSTILE
    tree["optimizer"]["choice"]["options"][1]["label"] = "</script>" + HOSTILE
    del tree["optimizer"]["choice"]["default"]
    run = made(tmp_path / "run", 60, tree=tree)
    out = tmp_path / "hostile.html"
    write_report(run, out)
    look(driver, out)
    assert driver.execute_script("return window.hacked") is None
    assert (
        driver.execute_script("return document.querySelectorAll('main img, main script').length")
        == 0
    )
    assert driver.execute_script("return document.querySelector('h1').textContent") == HOSTILE
    boxes, figures = drawn(driver)
    assert boxes == figures > 10
    assert complaints(driver) == []


@pytest.mark.parametrize(
    ("width", "dark"),
    [(390, True), *(pytest.param(w, not d, marks=pytest.mark.slow) for w, d in
                    ((390, True), (1280, True), (1280, False)))],
)  # fmt: skip
def test_a_sensitivity_analysis_a_study_and_a_race(
    driver: Any, further_pages: list[Path], width: int, dark: bool
) -> None:
    for page in further_pages:
        look(driver, page, width, dark=dark)
        driver.execute_script(
            "document.querySelectorAll('details').forEach(part => part.open = true)"
        )
        boxes, figures = drawn(driver)
        assert boxes == figures > 0
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        cut = driver.execute_script(
            "return [...document.querySelectorAll('.plot')].filter(box => {"
            "const frame = box.getBoundingClientRect();"
            "return [...box.querySelectorAll('.xtick text, .ytick text, .annotation-text')].some("
            "text => {const at = text.getBoundingClientRect();"
            "return at.width && (at.left < frame.left - 1 || at.right > frame.right + 1)})"
            "}).map(box => box.id)"
        )
        assert cut == []
        assert complaints(driver) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finished", "unfinished"])
def test_a_run_of_version_1(driver: Any, tmp_path: Path, name: str) -> None:
    write_report(RUNS_V1 / name, tmp_path / "report.html")
    look(driver, tmp_path / "report.html", 390)
    boxes, figures = drawn(driver)
    assert boxes == figures > 1
    assert complaints(driver) == []


@pytest.mark.slow
def test_it_prints_in_light_colours(driver: Any, page: Path) -> None:
    look(driver, page, dark=True)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(base64.b64decode(printed["data"])) > 50_000
    shade = "return document.documentElement.dataset.shade"
    assert driver.execute_script(shade) == "dark", "back on the screen"


@pytest.mark.slow
def test_it_can_be_read_aloud(driver: Any, page: Path) -> None:
    look(driver, page)
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('[role=img]')]"
        ".filter(box => (box.getAttribute('aria-label') || '').length < 10).length"
    )
    assert unnamed == 0
    headings = driver.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])"
    )
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert driver.execute_script(
        "return [...document.querySelectorAll('table')].every(table => table.caption && "
        "table.querySelector('thead th[scope=col]') && table.querySelector('tbody th[scope=row]'))"
    )
    assert driver.execute_script("return document.documentElement.lang") == "en"


def test_a_trial_says_what_it_is(driver: Any, page: Path, finished: Path, tmp_path: Path) -> None:
    look(driver, page)
    # The winner is one star in each figure that shows configs.
    stars = driver.execute_script(
        "return ['search', 'parallel', 'race', 'luck', 'halting', 'slice-1', 'contour-1', 'space']"
        ".filter(id => !document.querySelector(`.plot[data-figure^=${id}]`).data.some(trace => "
        "trace.marker && trace.marker.symbol === 'star' && trace.marker.color === '#0072b2'))"
    )
    assert stars == []
    # Hovering has the settings of every point.
    unsaid = driver.execute_script(
        "return [...document.querySelectorAll('.plot')].flatMap(box => box.data).filter(trace => "
        "trace.meta === 'configs' && !trace.hovertext.every(text => text.includes('trial ')))"
        ".length"
    )
    assert unsaid == 0
    said = driver.execute_script("return trm.describe(trm.table.winner)")
    assert said.startswith("<b>winner, trial ")
    assert "(default " in said
    # Wherever the words name a trial, its number is what leads to it.
    forms = driver.execute_script(
        "return [...new Set([...document.querySelectorAll('main a[href^=\"#trial-\"]')].map(one => "
        "one.textContent.replace(/[0-9]+/, 'N') + '|' + one.ariaLabel.replace(/[0-9]+/, 'N')))]"
    )
    assert forms == ["N|trial N"]
    # A number leads to the trial: its curve, findings and YAML, and back.
    link = driver.execute_script(
        "const one = document.querySelector('#failures td a, #failures th a'); one.click(); "
        "return one.textContent"
    )
    wait_for(driver, "return document.querySelector('#trial[open]') !== null")
    wait_for(driver, "return document.querySelector('#trial .trial-plot .trace') !== null")
    number = "".join(filter(str.isdigit, link))
    title = "return document.getElementById('trial-title').textContent"
    assert driver.execute_script(title) == f"Trial {number}"
    text = driver.execute_script("return document.getElementById('trial').textContent")
    assert "non-finite loss" in text
    assert f"trm logs finished {number}" in text
    commands = driver.execute_script(
        "return document.getElementById('trial-commands').textContent"
    ).splitlines()
    assert [line.split()[:2] for line in commands] == [["trm", "export"], ["trm", "logs"]]
    for line in commands:
        words = [*line.split()[1:], *(["--out", str(tmp_path / "of.yaml")] * ("export" in line))]
        words[1] = str(finished)
        assert main(words) == 0, line
    assert f"{number}" in (tmp_path / "of.yaml").read_text(encoding="utf-8")
    assert driver.execute_script("return document.getElementById('trial-yaml').textContent")
    driver.execute_script("document.querySelector('#trial .close').click()")
    wait_for(driver, "return location.hash === ''")
    assert driver.execute_script("return document.querySelector('#trial[open]')") is None
    assert complaints(driver) == []


PARALLEL = "document.querySelector('.plot[data-figure=parallel]')"
SAID = f"return {PARALLEL}.previousElementSibling.querySelector('output').textContent"
LINES = (
    f"return {PARALLEL}.data.filter(trace => trace.meta && trace.meta.lines)"
    ".flatMap(trace => trace.meta.lines).sort((a, b) => a - b)"
)


def test_configs_are_sifted_in_words_and_along_an_axis(driver: Any, page: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    look(driver, page)
    driver.execute_script(f"{PARALLEL}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    everything = driver.execute_script(LINES)
    assert len(everything) > 10
    assert driver.execute_script(SAID) == "or draw along an axis"
    typed = driver.find_element("id", "sift-parallel")
    reset = driver.find_element("css selector", ".sift button")

    def sifted(text: str) -> list[int]:
        typed.send_keys(Keys.CONTROL, "a")
        typed.send_keys(text)
        found: list[int] = driver.execute_script(LINES)
        return found

    values = driver.execute_script(
        "const names = trm.table.names.map(name => name.endsWith('.lr'));"
        "return Object.fromEntries(Object.entries(trm.table.trials).map(([id, one]) => "
        "[id, one.v.split('\\t').filter((_, i) => names[i]).join('')]))"
    )
    small = [n for n in everything if values[str(n)] and float(values[str(n)]) < 0.01]
    assert 0 < len(small) < len(everything)
    assert sifted("lr < 0.01") == small
    assert driver.execute_script(SAID).startswith(
        f"{len(small)} of {len(everything)} configs, best"
    )
    assert sifted(f"lr < 0.01 and trial != {small[0]}") == small[1:]
    assert sifted("lr < 0.01, exact_accuracy < -1") == []
    assert driver.execute_script(SAID) == f"0 of {len(everything)} configs"
    for text, problem in (
        ("nothing = 3", "no setting is called 'nothing': "),
        ("lr", "'lr' is no condition: write a setting"),
    ):
        assert sifted(text) == everything
        assert driver.execute_script(SAID).startswith(problem)
    reset.click()
    assert typed.get_property("value") == ""
    assert driver.execute_script(LINES) == everything

    # The best half of the scores, drawn with the pointer along the last axis.
    spot = driver.execute_script(
        f"const box = {PARALLEL}, full = box._fullLayout, at = box.getBoundingClientRect();"
        "const row = box.layout.meta.axes.length - 1;"
        "return [0.5, 1.02].map(x => [at.left + full.xaxis._offset + full.xaxis.d2p(x),"
        " at.top + full.yaxis._offset + full.yaxis.d2p(row) + 4]).flat().map(Math.round)"
    )
    mouse = ActionChains(driver, duration=50).w3c_actions
    mouse.pointer_action.move_to_location(*spot[:2])
    mouse.pointer_action.pointer_down()
    mouse.pointer_action.move_to_location(*spot[2:])
    mouse.pointer_action.pointer_up()
    mouse.perform()
    kept = driver.execute_script(LINES)
    assert 0 < len(kept) < len(everything)
    ends = driver.execute_script(
        f"return {PARALLEL}.data.filter(trace => trace.meta && trace.meta.lines).flatMap(trace => "
        f"trace.x.filter((_, i) => (i + 2) % ({PARALLEL}.layout.meta.axes.length + 1) === 0))"
    )
    assert len(ends) == len(kept)
    assert min(ends) >= 0.47
    assert driver.execute_script("return location.hash") == "", "a drag opens no trial"
    # A figure that is drawn anew, in other colours here, stays sifted.
    driver.execute_script("document.getElementById('shade').click()")
    wait_for(driver, "return document.documentElement.dataset.drawn === 'yes'")
    assert driver.execute_script(LINES) == kept
    reset.click()
    assert driver.execute_script(LINES) == everything
    assert complaints(driver) == []


def test_no_two_parts_of_a_page_share_an_id(driver: Any, page: Path) -> None:
    look(driver, page)
    twice = driver.execute_script(
        "const seen = new Set(); return [...document.querySelectorAll('[id]')]"
        ".map(one => one.id).filter(id => id && seen.size === seen.add(id).size)"
    )
    assert [name for name in twice if not name.startswith(("clip", "topdefs", "defs"))] == []
