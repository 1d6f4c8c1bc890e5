"""Paths as people write them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from trm.errors import UserError
from trm.files.paths import checked_path, home_path, spare_folder, working_folders, write_output


def refused(path: Path | str, key: str = "--out") -> str:
    with pytest.raises(UserError) as error:
        checked_path(path, key)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_can_be_looked_for_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "no", tmp_path / "file" / "no", "x/y"):
        assert checked_path(path, "--out") == Path(path)
    assert checked_path("x" * 255) == Path("x" * 255)


def test_what_cannot_is_one_line_with_key_and_value(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused("").startswith("--out: '' is empty")
    assert "is empty" in refused("  ")
    assert "File name too long" in refused("x" * 300)
    assert "File name too long" in refused("/".join(["y" * 200] * 30))
    assert len(refused("x" * 10_000)) < 200
    assert "holds a NUL character" in refused("a\0b")
    assert "is no UTF-8" in refused("a\udcffb")
    assert "symbolic links" in refused(tmp_path / "loop" / "x")
    assert refused("", "").startswith("'' is empty")


def test_a_home_folder_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_path("~/mine", "TRM_CACHE") == Path.home() / "mine"
    assert home_path("runs/~", "TRM_CACHE") == Path("runs/~")
    with pytest.raises(UserError, match=r"^TRM_CACHE: '~no-such-user/x' begins at a home folder"):
        home_path("~no-such-user/x", "TRM_CACHE")


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert working_folders() == [tmp_path / "here"]
    (tmp_path / "here").rmdir()
    assert working_folders() == []


def test_what_is_written_is_there_and_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    write_output(tmp_path / "a", "ü\n", "--out")
    assert (tmp_path / "a").read_bytes() == "ü\n".encode()
    write_output(tmp_path / "a", b"\x00", "--out")
    assert (tmp_path / "a").read_bytes() == b"\x00"
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "no" / "x", "No such file")):
        with pytest.raises(UserError, match=f"^--out: '{path}' cannot be written: {words}"):
            write_output(path, "", "--out")


def test_the_spare_folder_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert spare_folder(make=False) is None
    folder = spare_folder()
    assert folder is not None
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert spare_folder(make=False) == spare_folder() == folder
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert spare_folder() is None
    folder.unlink()
    folder.touch()
    assert spare_folder() is None
    folder.unlink()
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    (tmp_path / f"trm-search-{os.geteuid() + 1}").mkdir()  # another's, under our name
    assert spare_folder() is None
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    assert spare_folder() is None
