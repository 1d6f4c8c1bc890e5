"""What a process writes, by Python or below it, is kept for its attempt; no writer ever waits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from search.engine.output import WorkerOutput, output_file

PROGRAM = """
import os, sys, time
from pathlib import Path
from search.engine import output
output._EVERY = 0.05
run = Path(sys.argv[1])
os.dup2(os.open(run.parent / "out", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 1)
os.dup2(os.open(run.parent / "err", os.O_CREAT | os.O_WRONLY | os.O_APPEND), 2)
print(":job_id:01", flush=True)
kept = output.WorkerOutput((1, 2))
kept.begin(output.output_file(run, 3, 1))
print("by Python", flush=True)
os.write(2, b"below it\\n")
end = time.monotonic() + 20
while not output.output_file(run, 3, 1).exists() and time.monotonic() < end: time.sleep(0.02)
assert "by Python" in output.output_file(run, 3, 1).read_text()
kept.note("Traceback: ours\\n")
print("without an end", end="", flush=True)
kept.begin(output.output_file(run, 4, 1))
kept.begin(output.output_file(run, 5, 2))
print("of another", flush=True)
%s
"""


def run(folder: Path, last: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % last, str(folder)], check=False, timeout=60
    )
    print((folder.parent / "err").read_text())
    return done  # type: ignore[return-value]


def test_an_attempts_output_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    done = run(folder, "time.sleep(0.3); os.kill(os.getpid(), 9)")
    assert done.returncode == -9
    first = output_file(folder, 3, 1).read_text().splitlines()
    assert first == ["by Python", "below it", "Traceback: ours", "without an end"]
    assert output_file(folder, 5, 2).read_text() == "of another\n"
    assert not output_file(folder, 4, 1).exists(), "it wrote nothing"


def test_storage_that_takes_nothing_disturbs_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    program = """
(run / "logs" / "6").write_text("in the way")
kept.begin(output.output_file(run, 6, 1))
print("kept for later", flush=True)
time.sleep(0.2)
(run / "logs" / "6").unlink()
time.sleep(0.3)
"""
    assert run(folder, program).returncode == 0
    assert output_file(folder, 6, 1).read_text() == "kept for later\n"


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    output = WorkerOutput((0, 99_999))
    output.begin(tmp_path / "a" / "1.txt")
    output.note("ours\n")
    assert (tmp_path / "a" / "1.txt").read_text() == "ours\n"
    output.end()
    output.note("nobody's\n")
    assert (tmp_path / "a" / "1.txt").read_text() == "ours\n"


def test_a_flood_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    begun = time.monotonic()
    program = "for _ in range(60): os.write(1, b'x' * 99_999 + b'\\n')\ntime.sleep(0.3)"
    assert run(folder, program).returncode == 0
    assert time.monotonic() - begun < 60
    text = output_file(folder, 5, 2).read_text()
    assert len(text) < 300_000
    assert "are left out here" in text
