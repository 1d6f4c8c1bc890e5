"""Ends a Ray session when its driver is gone, however it went. Run as a script, never imported.

The kernel ends Ray's own servers together with a killed driver, but its two agent processes wait
for those servers for more than a minute (ray 2.60), and the session's files stay for ever.

Usage: reaper.py DRIVER_PID NAME=VALUE FOLDER, with a pipe from the driver as standard input.
"""

import os
import select
import shutil
import signal
import sys
import time

GRACE_SECONDS = 10.0


def wait_for_the_end_of(driver: int) -> None:
    """Return when the pipe on standard input closes, or the driver is no longer the parent."""
    while os.getppid() == driver:
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and not os.read(0, 1):
            return


def marked(mark: bytes) -> list[int]:
    """Processes whose environment held the mark when they started."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            if name.isdigit():
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
        except OSError:
            continue
    return found


def main() -> None:
    driver, mark, folder = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_the_end_of(driver)
    end = time.monotonic() + GRACE_SECONDS
    while (pids := marked(mark)) and time.monotonic() < end:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


main()
