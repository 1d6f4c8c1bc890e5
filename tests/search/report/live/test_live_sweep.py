"""The live page beside a real sweep: it follows, and costs the sweep next to nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from search.ledger.reader import holds_ledger, read_trials
from tests.search.report.live.serving import listens_on
from tests.search.report.live.test_live_browser import RANGE, READY, SEARCH, zoom
from tests.support.browser import CHROMIUM, DRIVER, browser, complaints, wait_for

pytest.importorskip("selenium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver: apt install chromium"
    ),
]
MOST = 0.03
"""CPU time of the server as a share of the sweep's."""
WINDOW = 90.0


def ended(run: Path) -> int:
    return sum(trial.ended for trial in read_trials(run).values())


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process and of all that it began."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def test_two_viewers_of_a_sweep_that_runs(tmp_path: Path) -> None:
    trm, run = str(Path(sys.executable).with_name("trm")), tmp_path / "run"
    with ExitStack() as stack:
        log = stack.enter_context(open(tmp_path / "sweep.log", "w"))
        sweep = subprocess.Popen(
            [trm, "sweep", "arrows4", "--out", str(run), "--trials", "400"],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        stack.callback(lambda: sweep.poll() is None and os.killpg(sweep.pid, signal.SIGTERM))
        end = time.monotonic() + 500
        while not (holds_ledger(run) and ended(run) >= 2):
            assert sweep.poll() is None, (tmp_path / "sweep.log").read_text()
            assert time.monotonic() < end
            time.sleep(2)
        server = stack.enter_context(
            subprocess.Popen(
                [trm, "report", str(run), "--live", "--port", "0"],
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.send_signal, signal.SIGINT)
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        assert listens_on(int(urlsplit(url).port or 0)) == {"127.0.0.1"}
        viewers = [stack.enter_context(browser(reaches_here=True)) for _ in range(2)]
        for driver in viewers:
            driver.get(url)
            wait_for(driver, READY)
        zoom(viewers[0])
        zoomed = viewers[0].execute_script(RANGE)
        points = f"return {SEARCH}.data[0].x.length"
        had = [driver.execute_script(points) for driver in viewers]

        work, serving = psutil.Process(sweep.pid), psutil.Process(server.pid)
        before, begun = (spent(work), spent(serving)), time.monotonic()
        time.sleep(WINDOW)
        seconds = time.monotonic() - begun
        assert sweep.poll() is None
        cost = spent(serving) - before[1]
        share = cost / (spent(work) - before[0])
        print(f"the server took {cost:.2f} s of CPU in {seconds:.0f} s, {share:.2%} of the sweep's")
        assert share < MOST

        for driver, old in zip(viewers, had, strict=True):
            wait_for(driver, f"{points} > {old}", 240)
            wait_for(driver, READY)
        assert viewers[0].execute_script(RANGE) == zoomed
        assert viewers[1].execute_script(RANGE) != zoomed
        assert [complaints(driver) for driver in viewers] == [[], []]
