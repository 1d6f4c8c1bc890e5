"""The cache of arrays: hits, misses, damage, atomic writing and the data hash."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trm.errors import CacheWarning
from trm.tasks.base import Split, SplitName
from trm.tasks.cache import (
    SPLITS,
    cached_arrays,
    cached_splits,
    data_hash,
    file_hash,
    make_split,
)


class Builder:
    """Counts how often it is asked."""

    def __init__(self, value: int = 7) -> None:
        self.calls = 0
        self.value = value

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        return {"a": np.full((3, 4), self.value), "b": np.linspace(0, 1, 5, dtype=np.float32)}


def splits(seed: int = 0) -> dict[SplitName, Split]:
    rng = np.random.default_rng(seed)
    return {
        name: make_split(rng.integers(5, size=(n, 4)), rng.integers(5, size=(n, 4)), rng.random(n))
        for n, name in enumerate(SPLITS, 2)
    }


def test_second_time_reads_the_same_arrays(tmp_path: Path) -> None:
    build = Builder()
    first = cached_arrays(tmp_path / "new" / "folder", "x", {"k": 1}, build)
    second = cached_arrays(tmp_path / "new" / "folder", "x", {"k": 1}, build)
    assert build.calls == 1
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        np.testing.assert_array_equal(first[name], second[name])


def test_no_folder_always_builds() -> None:
    build = Builder()
    cached_arrays(None, "x", {}, build)
    cached_arrays(None, "x", {}, build)
    assert build.calls == 2


def test_another_key_is_another_file(tmp_path: Path) -> None:
    build = Builder()
    for key in ({"k": 1}, {"k": 2}, {"k": 1, "more": None}):
        cached_arrays(tmp_path, "x", key, build)
    assert build.calls == 3
    assert len(list(tmp_path.glob("x-*.npz"))) == 3


@pytest.mark.parametrize("damage", ["empty", "short", "flipped", "text", "pickle"])
def test_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    build = Builder()
    cached_arrays(tmp_path, "x", {}, build)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if damage == "flipped":
        at = whole.index(np.full((3, 4), 7).tobytes())
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    elif damage == "pickle":
        with path.open("wb") as file:
            np.savez(file, a=np.array([{"an": "object"}], dtype=object))
    else:
        path.write_bytes({"empty": b"", "short": whole[:-40], "text": b"not an archive"}[damage])
    again = cached_arrays(tmp_path, "x", {}, build)
    assert build.calls == 2
    assert (again["a"] == 7).all()
    cached_arrays(tmp_path, "x", {}, build)
    assert build.calls == 2, "the damaged file was not replaced"


def test_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.warns(CacheWarning, match=r"No space left.*, so data are made anew every time"):
        arrays = cached_arrays(tmp_path, "x", {}, Builder())
    assert (arrays["a"] == 7).all()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files lie for the time being."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("folder", ["taken", "taken/below", "x" * 300, "full"])
def test_a_folder_that_cannot_be_written_costs_one_warning_and_nothing_is_made_twice(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "taken").write_text("")
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if target.parent == tmp_path / "full":
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    build = Builder()
    with pytest.warns(CacheWarning) as told:
        first = cached_arrays(tmp_path / folder, "x", {}, build)
    assert len(told) == 1
    assert f"so data are kept in {scratch}" in str(told[0].message)
    assert (first["a"] == 7).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = cached_arrays(tmp_path / folder, "x", {}, build)
    assert (second["a"] == 7).all()
    assert build.calls == 1


def test_a_folder_that_can_only_be_read_is_read(tmp_path: Path, scratch: Path) -> None:
    build = Builder()
    cached_arrays(tmp_path, "x", {}, build)
    cached_arrays(tmp_path, "x", {}, build)
    assert build.calls == 1
    assert list(scratch.iterdir()) == []  # nothing is made there unless it is needed


def test_splits_come_back_as_they_were(tmp_path: Path) -> None:
    made = splits()
    cached_splits(tmp_path, "x", {}, lambda: made)
    read = cached_splits(tmp_path, "x", {}, lambda: pytest.fail("was cached"))
    assert data_hash(read) == data_hash(made)
    for name in SPLITS:
        assert read[name].inputs.dtype == np.int32
        assert read[name].difficulty.dtype == np.float32
        np.testing.assert_array_equal(read[name].labels, made[name].labels)


def test_data_hash_sees_every_array() -> None:
    base = splits()
    hashes = {data_hash(base)}
    for field in ("inputs", "labels", "difficulty", "puzzle_identifiers"):
        other = splits()
        getattr(other["test"], field).flat[-1] += 1
        hashes.add(data_hash(other))
    swapped = {**base, "valid": base["train"], "train": base["valid"]}
    assert len(hashes | {data_hash(swapped)}) == 6
    assert data_hash(splits()) == data_hash(base)


def test_file_hash_is_of_the_content(tmp_path: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (file_hash(tmp_path / name) for name in "abc")
    assert a == b != c
