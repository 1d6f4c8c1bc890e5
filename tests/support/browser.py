"""A real Chromium without a window, for looking at pages as a reader's browser does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

_ELSEWHERE = ["https://*", *(f"http://{letter}*" for letter in "abcdefghijklmnopqrstuvwxyz")]
"""Every name, but no number."""


@contextmanager
def browser(*, reaches_here: bool = False) -> Iterator[Any]:
    """
    Args:
        reaches_here: whether a page may ask servers of this machine by its number.
    """
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    assert CHROMIUM
    assert DRIVER
    options = Options()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        # Nothing that a page asks of the network is answered.
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd(
            "Network.setBlockedURLs",
            {"urls": _ELSEWHERE if reaches_here else ["http://*", "https://*"]},
        )
        yield driver
    finally:
        driver.quit()


def look(driver: Any, page: Path, width: int = 1280, *, dark: bool = False) -> None:
    """Open a page and wait until every figure is drawn."""
    driver.get("about:blank")
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.get(page.as_uri())
    wait_for(driver, "return document.documentElement.dataset.drawn === 'yes'")


def wait_for(driver: Any, script: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not driver.execute_script(script):
        assert time.monotonic() < end, f"waited {seconds} s for: {script}"
        time.sleep(0.05)


def complaints(driver: Any) -> list[str]:
    """What the console holds since it was last asked."""
    return [f"{entry['level']}: {entry['message']}" for entry in driver.get_log("browser")]
