"""One table: what this code costs, each figure beside what it is measured against, in one run.

    python -m tests.benchmarks                       # or `make bench`; 10 to 15 minutes
    python -m tests.benchmarks --reference PATH      # a checkout of the reference beside it
    python -m tests.benchmarks --tiny                # every row, of figures that say nothing

Times are CPU time where nothing else is said, two sides in turns, medians. It begins with the
golden files, which both kernels must pass, and it stops where a busy loop gets too little of a
core: then caches and clocks are others' too, and ratios with them. `--anyway` goes on and says so.
"""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from tests.benchmarks import demo_sweep, evaluation_share, first_step
from tests.benchmarks.reference_step import NoReferenceError, ReferenceStep, network_weights
from tests.benchmarks.rest import require_rest
from tests.benchmarks.step import SHAPES, build, in_turns, measured, peak, preset, spent
from tests.support.folders import ROOT
from trm.training.flops import step_flops

_FEW_RUNS = ("stability.promise_seeds=2", "stability.racing=false")
_CUT = demo_sweep.Demo(3, _FEW_RUNS)


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        shapes: of models, the first so many.
        steps: of a turn, at most.
        rounds: turns, at most.
        presets: whose evaluations are measured.
        starts: processes a row.
        sets: what a trial has otherwise than the demo's config.
        trials: without training.
        demo: the sweep that stands for the demo's.
    """

    shapes: int = len(SHAPES)
    steps: int = 5
    rounds: int = 11
    presets: tuple[str, ...] = evaluation_share.PRESETS
    starts: int = 5
    sets: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 100
    demo: demo_sweep.Demo = _CUT


TINY = Effort(
    shapes=1, steps=1, rounds=1, presets=("arrows4",), starts=1, trials=4,
    sets={"train.budget": {"steps": 4}},
    demo=demo_sweep.Demo(2, ("train.budget.steps=4", "train.valid_examples=8", *_FEW_RUNS)),
)  # fmt: skip


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


def main(reference: Path | None = None, anyway: bool = False, tiny: bool = False) -> None:
    """Print the table.

    Raises:
        TooBusyError: the machine is, and not `anyway`.
    """
    torch.set_num_threads(1)
    begun, anyway = time.perf_counter(), anyway or tiny
    least = require_rest(anyway)
    print(f"{_machine()}\n\n| what | ours | beside | ratio | |\n|---|---|---|---|---|", flush=True)
    for section in sections(TINY if tiny else Effort(), reference):
        for row in section():
            print(row.text(), flush=True)
        least = min(least, require_rest(anyway))
    print(
        f"\nA busy loop got {least:.0%} of a core at the least, looked at between sections; "
        f"{(time.perf_counter() - begun) / 60:.0f} minutes."
    )


def sections(
    effort: Effort, reference: Path | None = None
) -> tuple[Callable[[], Iterator[Row]], ...]:
    """What the table consists of, in its order; the last two start Ray."""
    return (
        golden, partial(steps, effort), partial(beside_reference, effort, reference),
        partial(starts, effort), partial(evaluations, effort), partial(trial, effort),
        partial(orchestration, effort), partial(demo, effort),
    )  # fmt: skip


def golden() -> Iterator[Row]:
    """Both kernels against the reference's numbers, in this run."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/trm/test_golden.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"the golden files do not hold:\n{done.stdout[-2000:]}")
    yield Row("golden files of the reference, eager and fused", "hold")


def steps(effort: Effort) -> Iterator[Row]:
    """Each shape's step by what `auto` takes beside the eager one, and against the peak."""
    best = peak()
    yield Row("product of two matrices", f"{best / 1e9:.0f} GFLOP/s", more="the peak below")
    for name, tree, count, rounds in _shapes(effort):
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


def _shapes(effort: Effort) -> Iterator[tuple[str, dict[str, Any], int, int]]:
    for name, tree, count, rounds in SHAPES[: effort.shapes]:
        yield name, tree, min(count, effort.steps), min(rounds, effort.rounds)


def beside_reference(effort: Effort, checkout: Path | None) -> Iterator[Row]:
    """Each shape's step beside the reference's own."""
    if checkout is None:
        return
    for name, tree, count, rounds in _shapes(effort):
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


def starts(effort: Effort) -> Iterator[Row]:
    """New processes of one training step each, the library there or not."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        first_step.seconds(_DATA, cache)
        cold = first_step.seconds(first_step.WORKER, cache)
        first_step.seconds(first_step.TRAIN, cache)  # writes its byte code
        for name, program in first_step.PROGRAMS.items():
            found = sorted(first_step.seconds(program, cache) for _ in range(effort.starts))
            warm, spread = median(found), f"{found[0]:.2f}-{found[-1]:.2f} of {effort.starts}"
            if program == first_step.WORKER:
                yield Row(
                    f"start: {name}, library there beside not", f"{warm:.2f} s", f"{cold:.2f} s",
                    f"{cold / warm:.1f}", f"{spread}; without it once",
                )  # fmt: skip
            else:
                yield Row(f"start: {name}", f"{warm:.2f} s", more=spread)


_DATA = """
import json, sys
from trm.config import experiment_from
from trm.files.run_folder import cache_folder
experiment_from(json.loads(sys.argv[2])).task.build(cache_folder())
"""


def evaluations(effort: Effort) -> Iterator[Row]:
    """What of a run's time its evaluations take, bounded beside all of `valid` each time."""
    for name in effort.presets:
        found = evaluation_share.measured(name)
        yield Row(
            f"evaluations of {name}, of its training", f"{found.after:.1%}", f"{found.before:.1%}",
            f"{found.before / found.after:.1f}", found.text(),
        )  # fmt: skip


def trial(effort: Effort) -> Iterator[Row]:
    """A whole run of the demo's config, evaluations and all."""
    used, kernels = {}, ("auto", "eager")
    for kernel in kernels:
        trainer = build(preset("arrows4"), **{"train.kernel": kernel, **effort.sets})
        begun = time.process_time()
        *_, last = trainer.run()
        used[kernel] = time.process_time() - begun
        assert last.progress == 1.0
        assert not last.diverged
    yield Row(
        "a trial of arrows4, auto beside eager", f"{used['auto']:.1f} s", f"{used['eager']:.1f} s",
        f"{used['eager'] / used['auto']:.2f}", "once each",
    )  # fmt: skip


def orchestration(effort: Effort) -> Iterator[Row]:
    """What a trial costs besides its training."""
    from tests.benchmarks.orchestration import measure

    with open(os.devnull, "w") as nowhere, _stdout_to(nowhere.fileno()):
        ours, stock = measure(effort.trials, 1)
    yield Row(
        f"{effort.trials} trials without training, beside stock Ray Tune", f"{ours:.1f} s",
        f"{stock:.1f} s", f"{stock / ours:.2f}",
        f"wall time; {1e3 * ours / effort.trials:.0f} ms a trial of three reports",
    )  # fmt: skip


def demo(effort: Effort) -> Iterator[Row]:
    """The demo's sweep, cut, with one and with two workers, and where its time goes."""
    with tempfile.TemporaryDirectory() as scratch:
        for slots in (1, 2):
            lines = {}
            for kernel in ("auto", "eager"):
                folder = Path(scratch, f"{slots}-{kernel}")
                lines[kernel] = demo_sweep.swept(ROOT, folder, slots, kernel, effort.demo)
            auto, eager = lines["auto"], lines["eager"]
            yield Row(
                f"the demo's sweep, {effort.demo.text}, {slots} at once, auto beside eager",
                f"{auto.wall:.0f} s", f"{eager.wall:.0f} s", f"{eager.wall / auto.wall:.2f}",
                f"wall time; CPU time {auto.cpu:.0f} and {eager.cpu:.0f} s, "
                f"{eager.cpu / auto.cpu:.2f} times",
            )  # fmt: skip
            for kernel, line in lines.items():
                yield Row(f"its time line, {slots} at once, {kernel}", f"{line.wall:.0f} s",
                          more=line.text)  # fmt: skip


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
