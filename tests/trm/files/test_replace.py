"""A reader at any moment, and whoever comes after a fault, finds the old content or the new."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from trm.files.replace import replacing, sync


def test_the_old_stands_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"ne")
        file.flush()
        assert path.read_bytes() == b"old"
        file.write(b"w")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_block_that_raises_changes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def write_half(partial: Path | None) -> None:
        with replacing(path, partial) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    for partial in (None, tmp_path / "elsewhere"):
        with pytest.raises(KeyboardInterrupt):
            write_half(partial)
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space left"), replacing(path) as file:
            file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_the_content_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, _real=real, _name=name: (calls.append(_name), _real(*a))[1]
        )
    with replacing(tmp_path / "a") as file:
        file.write(b"new")
    sync(tmp_path)
    assert calls == ["fsync", "replace", "fsync"]
