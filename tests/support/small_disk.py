"""File systems that are soon full, for tests that may mount them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
"""Where the kernel takes how fast a disk may write (cgroup v1)."""


@contextmanager
def small_disk(where: Path, size: str) -> Iterator[Path]:
    """A file system of its own below `where`; the test is skipped where none can be mounted.

    Args:
        size: as tmpfs takes it, as in `512k`.
    """
    folder = where / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """A file that takes what room there is, but for so many bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    if leave:
        os.truncate(filler, max(filler.stat().st_size - leave, 0))
    return filler


@contextmanager
def block_disk(where: Path, size: str) -> Iterator[Path]:
    """The same on a block device of its own, in a file, which can be slowed.

    Args:
        size: as `truncate` takes it, as in `64M`.
    """
    folder, image = where / "disk", where / "disk.img"
    folder.mkdir()
    for words in (
        ["truncate", "-s", size, str(image)],
        ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)],
        ["mount", "-o", "loop,noatime", str(image), str(folder)],
    ):
        if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("needs root, ext4 and loop devices, to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def slowed(folder: Path, bytes_per_second: int) -> Iterator[None]:
    """Let a block disk write no faster, for everybody."""
    device = os.stat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    THROTTLE.write_text(f"{number} {bytes_per_second}")
    try:
        yield
    finally:
        THROTTLE.write_text(f"{number} 0")
