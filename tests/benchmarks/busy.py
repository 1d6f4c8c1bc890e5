"""What a busy neighbour costs a sweep: its time alone, and beside two processes that never rest.

The machine has two cores for all of it: this process and its children are pinned to two. Beside
one busy process a core, a fair half of each core is left, so twice the time is what must be
expected, and 2.5 times is the bound. The last line is the same with trials that give way as Ray has
them do by default (`cluster.niceness=15`). `ROUNDS=3` takes medians.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROUNDS = int(os.environ.get("ROUNDS", "3"))
CORES = 2
BOUND = 2.5
CONFIG = """
name: busy
task: {name: arrows, size: 4, train_examples: 2000, valid_examples: 100, test_examples: 100}
model: {mixer: mlp_t, hidden_size: 32, L_layers: 2, expansion: 1.0, swiglu_multiple: 32,
        puzzle_emb_len: 1, halt_max_steps: 4, H_cycles: 2, L_cycles: 2}
optimizer: {name: adamw, lr_warmup_steps: 10, lr: {loguniform: [3e-3, 3e-2]}}
train: {batch_size: 32, budget: {steps: 400}, reports: 4, threads: 1, ema: 0.95}
search: {trials: 6, scheduler: none, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""
SPIN = "while True: pass"


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "busy.yaml").write_text(CONFIG)
        seconds(home, "data", 0)  # makes the task's data
        alone, beside = [], []
        for number in range(ROUNDS):
            alone.append(seconds(home, f"alone{number}", 0))
            print(f"{f'alone, round {number + 1} of {ROUNDS}':<42} {alone[-1]:6.1f} s", flush=True)
            beside.append(seconds(home, f"beside{number}", 0, neighbours=CORES))
            say(f"beside {CORES} busy processes", beside[-1], alone[-1])
        base, found = statistics.median(alone), statistics.median(beside)
        say("medians", found, base)
        say("niceness 15", seconds(home, "yielding", 15, neighbours=CORES), base)
    if found > BOUND * base:
        sys.exit(f"a sweep beside a busy neighbour takes more than {BOUND} times its time")


def say(what: str, found: float, base: float) -> None:
    print(f"{what:<42} {found:6.1f} s, {found / base:.2f} times", flush=True)


def seconds(home: Path, name: str, niceness: int, neighbours: int = 0) -> float:
    """The time of a whole sweep, from the command to its end."""
    with ExitStack() as stack:
        for _ in range(neighbours):
            spinning = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        begun = time.perf_counter()
        subprocess.run(
            [
                str(Path(sys.executable).with_name("trm")), "sweep", str(home / "busy.yaml"),
                "--out", str(home / name), "--set", f"cluster.niceness={niceness}",
            ],
            check=True, capture_output=True, env={**os.environ, "TRM_CACHE": str(home / "cache")},
        )  # fmt: skip
        return time.perf_counter() - begun
