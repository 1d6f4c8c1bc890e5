"""The compiled library: built once, by whoever is first, and not where it cannot be trusted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trm.network.fused.library
from trm.network.fused.library import COMPILERS, NoLibraryError, library

ASK = (
    "from trm.network.fused.library import NoLibraryError, library\n"
    "try:\n"
    "    library(); print('built')\n"
    "except NoLibraryError as error:\n"
    "    print(error)\n"
)
QUICK = "-O0"
"""Ends in a library too, in a fraction of the time."""


def asking(cache: Path, **environment: str) -> subprocess.Popen[str]:
    """A process that asks for the library, with a cache of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", ASK],
        env={**os.environ, "TRM_CACHE": str(cache), "CXXFLAGS": QUICK, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=300)[0].strip()


@pytest.mark.slow
def test_many_processes_at_once_build_it_once(tmp_path: Path) -> None:
    assert [said(each) for each in [asking(tmp_path) for _ in range(3)]] == ["built"] * 3
    kernels = tmp_path / "kernels"
    (made,) = kernels.glob("*.so")
    before = made.stat().st_mtime_ns
    assert said(asking(tmp_path)) == "built"
    assert made.stat().st_mtime_ns == before
    assert said(asking(tmp_path, CXXFLAGS=f"{QUICK} -DOTHER")) == "built"
    assert len(list(kernels.glob("*.so"))) == 2
    assert not list(kernels.glob(".build-*"))


TRAIN = """
import itertools, os, sys
from trm.config import experiment_from
from trm.files.run_folder import cache_folder
from trm.training.trainer import Trainer
trials = itertools.product((1, 2), (1, 2, 3), (16, 48), ("mlp_t", "attention"))
for number, (H, L, hidden, mixer) in enumerate(itertools.islice(trials, int(sys.argv[1]))):
    config = experiment_from({
        "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
                 "valid_examples": 8, "test_examples": 8},
        "model": {"hidden_size": hidden, "num_heads": 2, "H_cycles": H, "L_cycles": L,
                  "mixer": mixer, "halt_max_steps": 2 + number % 3, "expansion": 1.0 + number},
        "loss": {"halt_weight": 0.1 * number},
        "optimizer": {"name": "adamw", "lr": 1e-3 * (1 + number)},
        "train": {"batch_size": 4 + number, "budget": {"steps": 2}, "reports": 1,
                  "kernel": "fused", "seed": number},
    })
    (report,) = Trainer(config, config.task.build(cache_folder())).run()
    assert not report.diverged
    print(report.step)
"""


@pytest.mark.slow
def test_twenty_mixed_trials_and_a_second_process_compile_once(tmp_path: Path) -> None:
    compiler = next(found for name in COMPILERS if (found := shutil.which(name)))
    said, wrapper = tmp_path / "calls", tmp_path / "counted"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {said}\nexec {compiler} "$@"\n')
    wrapper.chmod(0o755)
    environment = {"TRM_CACHE": str(tmp_path / "cache"), "CXX": str(wrapper), "CXXFLAGS": QUICK}
    for trials in (20, 1):
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, str(trials)], env={**os.environ, **environment},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.split() == ["2"] * trials
        calls = [line for line in said.read_text().splitlines() if "recursion.cpp" in line]
        assert len(calls) == 1, trials


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CXX": "no-such-compiler"}, "no C++ compiler (no-such-compiler)"),
        ({"CXX": "false"}, "fails"),
        ({"CXXFLAGS": "-fno-such-flag"}, "fails"),
        ({"TRM_CACHE": "/dev/null/here"}, "the cache cannot be written"),
    ],
)
def test_what_is_missing_is_said_in_a_line(
    environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    text = said(asking(tmp_path, **environment))
    assert words in text
    assert "\n" not in text


def test_flags_are_no_shell(tmp_path: Path) -> None:
    said(asking(tmp_path / "cache", CXXFLAGS=f"; touch {tmp_path}/made $(touch {tmp_path}/made)"))
    assert not (tmp_path / "made").exists()


def test_a_library_that_others_can_write_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path))
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    with pytest.raises(NoLibraryError, match="belongs to another user"):
        trm.network.fused.library._built()


def test_it_is_loaded_once() -> None:
    assert library() is library()
