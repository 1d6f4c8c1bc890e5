"""One table: what this code costs, each figure beside what it is measured against, in one run.

    python -m tests.benchmarks                       # or `make bench`; about ten minutes
    python -m tests.benchmarks --reference PATH      # a checkout of the reference beside it

Times are CPU time where nothing else is said, two sides in turns, medians. It begins with the
golden files, which both kernels must pass, and it stops where a busy loop gets too little of a
core: then caches and clocks are others' too, and ratios with them. `--anyway` goes on and says so.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import torch

from tests.benchmarks import evaluation_share
from tests.benchmarks.reference_step import NoReferenceError, ReferenceStep, network_weights
from tests.benchmarks.step import SHAPES, build, in_turns, measured, peak, preset, spent
from tests.support.folders import ROOT
from trm.training.flops import step_flops

LEAST_SHARE = 0.6
"""Of a core that a busy loop must get, in each of two processes."""
SPIN_SECONDS = 1.5
TRIALS = 100
FIRST_STEP = """
import sys, torch
torch.set_num_threads(1)
from tests.benchmarks.step import preset
from trm.config import experiment_from
from trm.files.run_folder import cache_folder
from trm.training.trainer import Trainer
config = experiment_from(preset("arrows4"))
if sys.argv[1] == "import": sys.exit()
task = config.task.build(cache_folder())
if sys.argv[1] == "data": sys.exit()
trainer = Trainer(config, task)
trainer.train_step()
assert trainer.resolved.kernel == "fused", trainer.resolved
"""


class TooBusyError(Exception):
    """Others use the cores; the message says how much."""


@dataclass(frozen=True)
class Row:
    """A figure.

    Attributes:
        what: was measured.
        ours: as it is.
        beside: what it is held against; empty for what stands alone.
        ratio: how many times as good, or a share.
        more: in words.
    """

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    more: str = ""

    def text(self) -> str:
        """As a line of Markdown."""
        return f"| {' | '.join((self.what, self.ours, self.beside, self.ratio, self.more))} |"


def main(reference: Path | None = None, anyway: bool = False) -> None:
    """Print the table.

    Raises:
        TooBusyError: the machine is, and not `anyway`.
    """
    torch.set_num_threads(1)
    least = require_rest(anyway)
    print(f"{_machine()}\n\n| what | ours | beside | ratio | |\n|---|---|---|---|---|", flush=True)
    sections: tuple[Callable[[], Iterator[Row]], ...] = (
        golden, steps, partial(beside_reference, reference), starts, evaluations, trial,
        orchestration, demo,
    )  # fmt: skip
    for section in sections:
        for row in section():
            print(row.text(), flush=True)
        least = min(least, require_rest(anyway))
    print(f"\nA busy loop got {least:.0%} of a core at the least, looked at between sections.")


def require_rest(anyway: bool) -> float:
    """The share of a core that each of two busy processes gets, the lesser.

    Raises:
        TooBusyError: it is below `LEAST_SHARE`, and not `anyway`.
    """
    cores = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        found = min(pool.map(spin, [SPIN_SECONDS] * cores, chunksize=1))
    if found < LEAST_SHARE and not anyway:
        raise TooBusyError(
            f"a busy loop gets {found:.0%} of a core (load {os.getloadavg()[0]:.1f}), and "
            f"{LEAST_SHARE:.0%} are needed: wait until the machine is idle, or --anyway"
        )
    return found


def spin(seconds: float) -> float:
    """The share of a core that a busy loop gets for so long."""
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        pass
    return (time.process_time() - used) / (time.perf_counter() - begun)


def golden() -> Iterator[Row]:
    """Both kernels against the reference's numbers, in this run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/trm/test_golden.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the golden files do not hold:\n{done.stdout[-2000:]}")
    yield Row("golden files of the reference, eager and fused", "hold")


def steps() -> Iterator[Row]:
    """Each shape's step by what `auto` takes beside the eager one, and against the peak."""
    best = peak()
    yield Row("product of two matrices", f"{best / 1e9:.0f} GFLOP/s", more="the peak below")
    for name, tree, count, rounds in SHAPES:
        auto = build(tree)
        kernel = auto.resolved.kernel
        if kernel == "eager":
            spent(auto, count)
            seconds = median(spent(auto, count) for _ in range(rounds))
            share = step_flops(auto.config, auto.task) / seconds / best
            yield Row(
                f"step, {name}, eager", f"{1e3 * seconds:.1f} ms", ratio="1",
                more=f"what auto takes; {share:.0%} of the peak",
            )  # fmt: skip
            continue
        found = measured(tree, count, rounds, "auto")
        shares = [found.flops / seconds / best for seconds in (found.fast, found.slow)]
        yield Row(
            f"step, {name}, {kernel} beside eager", f"{1e3 * found.fast:.1f} ms",
            f"{1e3 * found.slow:.1f} ms", f"{found.ratio:.2f}",
            f"{found.ratios[0]:.2f}-{found.ratios[-1]:.2f} of {rounds} pairs; "
            f"{shares[0]:.0%} and {shares[1]:.0%} of the peak",
        )  # fmt: skip


def beside_reference(checkout: Path | None) -> Iterator[Row]:
    """Each shape's step beside the reference's own."""
    if checkout is None:
        return
    for name, tree, count, rounds in SHAPES:
        ours = build(tree)
        try:
            theirs = ReferenceStep(checkout, ours.config, ours.task)
        except NoReferenceError as error:
            yield Row("the reference's own step", "", more=f"not measured: {error}")
            return
        assert theirs.weights == network_weights(ours.model), name
        flops = step_flops(ours.config, ours.task)
        found = in_turns(theirs.seconds, partial(spent, ours), flops, count, min(rounds, 5))
        assert theirs.step()["lm_loss"] > 0.0
        yield Row(
            f"step, {name}, beside the reference's own", f"{1e3 * found.fast:.1f} ms",
            f"{1e3 * found.slow:.1f} ms", f"{found.ratio:.2f}",
            f"{found.ratios[0]:.2f}-{found.ratios[-1]:.2f} of {min(rounds, 5)} pairs",
        )  # fmt: skip


def starts() -> Iterator[Row]:
    """A new process until its first training step of arrows4, the library there or not."""
    with tempfile.TemporaryDirectory() as folder:
        child(folder, "data")
        cold = child(folder, "step")
        rest = {until: [child(folder, until) for _ in range(5)] for until in ("import", "step")}
    imports, warm = median(rest["import"]), median(rest["step"])
    yield Row(
        "start to first step, library built beside not", f"{warm:.2f} s", f"{cold:.2f} s",
        f"{cold / warm:.1f}", f"{imports:.2f} s of it are imports, median of 5; cold once",
    )  # fmt: skip


def child(cache: str, until: str) -> float:
    """CPU seconds of a process and of what it starts."""
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST_STEP, until], cwd=ROOT,
        env={**os.environ, "TRM_CACHE": cache, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, until
    return used.ru_utime + used.ru_stime


def evaluations() -> Iterator[Row]:
    """What of a run's time its evaluations take, bounded beside all of `valid` each time."""
    for name in evaluation_share.PRESETS:
        found = evaluation_share.measured(name)
        yield Row(
            f"evaluations of {name}, of its training", f"{found.after:.1%}", f"{found.before:.1%}",
            f"{found.before / found.after:.1f}", found.text(),
        )  # fmt: skip


def trial() -> Iterator[Row]:
    """A whole run of the demo's config, evaluations and all."""
    used, kernels = {}, ("auto", "eager")
    for kernel in kernels:
        trainer = build(preset("arrows4"), **{"train.kernel": kernel})
        begun = time.process_time()
        *_, last = trainer.run()
        used[kernel] = time.process_time() - begun
        assert last.progress == 1.0
        assert not last.diverged
    yield Row(
        "a trial of arrows4, auto beside eager", f"{used['auto']:.1f} s", f"{used['eager']:.1f} s",
        f"{used['eager'] / used['auto']:.2f}", "once each",
    )  # fmt: skip


def orchestration() -> Iterator[Row]:
    """What a trial costs besides its training."""
    from tests.benchmarks.orchestration import measure

    with open(os.devnull, "w") as nowhere, _stdout_to(nowhere.fileno()):
        ours, stock = measure(TRIALS, 1)
    yield Row(
        f"{TRIALS} trials without training, beside stock Ray Tune", f"{ours:.1f} s",
        f"{stock:.1f} s", f"{stock / ours:.2f}",
        f"wall time; {1e3 * ours / TRIALS:.0f} ms a trial of three reports",
    )  # fmt: skip


def demo() -> Iterator[Row]:
    """The demo's sweep, cut, with one and with two workers."""
    from tests.benchmarks import demo_sweep

    demo_sweep.TRIALS, demo_sweep.SETS = "4", ["train.budget.steps=150"]
    with tempfile.TemporaryDirectory() as scratch:
        for slots in (1, 2):
            lines = {
                kernel: demo_sweep.swept(ROOT, Path(scratch, f"{slots}-{kernel}"), slots, kernel)
                for kernel in ("auto", "eager")
            }
            auto, eager = lines["auto"], lines["eager"]
            yield Row(
                f"the demo's sweep, 4 trials of 150 steps, {slots} at once, auto beside eager",
                f"{auto.cpu:.0f} s", f"{eager.cpu:.0f} s", f"{eager.cpu / auto.cpu:.2f}",
                f"wall {auto.wall:.0f} and {eager.wall:.0f} s; training {auto.training:.0f} and "
                f"{eager.training:.0f} s, idle {auto.idle:.0f} and {eager.idle:.0f} s of its slots",
            )  # fmt: skip


class _stdout_to:
    """Meanwhile what is printed, also by children, goes to another file."""

    def __init__(self, file: int) -> None:
        self.file = file

    def __enter__(self) -> None:
        sys.stdout.flush()
        self.kept = os.dup(1)
        os.dup2(self.file, 1)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(self.kept, 1)
        os.close(self.kept)


def _machine() -> str:
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
        name = next(itertools.chain(names, [name]))
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    ).stdout.strip()  # fmt: skip
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, revision {revision or 'unknown'}: {name}, "
        f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, torch "
        f"{torch.__version__}, load {os.getloadavg()[0]:.1f}, one thread"
    )
