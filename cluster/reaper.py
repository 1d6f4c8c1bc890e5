"""Ends a Ray session when its driver is gone, however it went. Run as a script.

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


def belonging(mark: bytes, folder: str) -> "list[int]":
    """Processes that started with the mark in their environment, and Ray's agents of the session.

    The agents set their titles, which overwrites their environment; they have logs of the session's
    folder open. So has the driver, which may be alive and well, and whoever reads the logs.
    """
    names = os.listdir("/proc") if os.path.isdir("/proc") else []
    return [
        int(name)
        for name in names
        if name.isdigit()
        and (mark in _environment(name) or (_is_rays(name) and _open_files(name, folder)))
    ]


def _is_rays(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().startswith(b"ray::")
    except OSError:
        return False


def _environment(pid: str) -> "list[bytes]":
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _open_files(pid: str, folder: str) -> "list[str]":
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
    found = []
    for descriptor in descriptors:
        try:
            path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        except OSError:
            continue
        if path.startswith(folder + "/"):
            found.append(path)
    return found


def main() -> None:
    driver, mark, folder = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wait_for_the_end_of(driver)
    end = time.monotonic() + GRACE_SECONDS
    while (pids := belonging(mark, folder)) and time.monotonic() < end:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
