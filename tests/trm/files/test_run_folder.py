from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from trm.errors import NewRunWarning, UserError
from trm.files.run_folder import LOCK, cache_folder, checkpoint_in, create_folder, latest_checkpoint


def refused(folder: Path, *, resume: bool = False) -> str:
    with pytest.raises(UserError) as error:
        create_folder(folder, "marker", resume=resume)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    create_folder(folder, "marker", resume=False)
    assert list(folder.iterdir()) == []
    for resume in (False, True):
        create_folder(folder, "marker", resume=resume)  # an empty one will do


def test_that_there_is_nothing_to_resume_is_said(tmp_path: Path) -> None:
    with pytest.warns(NewRunWarning, match=f"^--resume: {tmp_path}/typo is not there, so a new"):
        create_folder(tmp_path / "typo", "marker", resume=True)
    assert (tmp_path / "typo").is_dir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_folder(tmp_path / "typo", "marker", resume=True)
        create_folder(tmp_path / "new", "marker", resume=False)


def test_a_folder_with_a_run_is_only_for_resume(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    assert "already holds a run: add --resume" in refused(tmp_path)
    create_folder(tmp_path, "marker", resume=True)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "is not empty" in refused(tmp_path)


def test_a_run_that_never_began_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    create_folder(tmp_path, "marker", resume=False)


def test_what_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in refused(tmp_path / "file")
    assert "cannot be made: Not a directory" in refused(tmp_path / "file" / "run")
    assert "cannot be made" in refused(Path("/proc/no/such"))
    assert "is not empty" in refused(Path("/proc"))
    assert "cannot be written" in refused(Path("/proc/self/task"), resume=True)
    assert "must be a local folder" in refused(Path("s3://bucket/run"))


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.delenv("TRM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/trm-search")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "trm-search"
    monkeypatch.setenv("TRM_CACHE", "~no-such-user/x")
    with pytest.raises(UserError, match=r"^TRM_CACHE: "):
        cache_folder()


def test_a_user_without_a_home_has_a_cache_of_his_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "TRM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_folder()
    assert folder is not None
    assert folder.parent == tmp_path
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    assert cache_folder() is None


def test_a_checkpoint_is_found_from_its_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint_in(tmp_path)
    for name in ("000000100-0001", "000000099-0001", ".000000200-0002.1.partial"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "checkpoint.json").touch()
    newest = tmp_path / "checkpoints" / "000000100-0001"
    assert latest_checkpoint(tmp_path) == checkpoint_in(tmp_path) == checkpoint_in(newest) == newest
    (newest / "checkpoint.json").unlink()
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint_in(tmp_path)
