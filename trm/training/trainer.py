"""The training loop: one optimiser step per supervision step, a report at each compute mark."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from curricula.stage import Depth, Stage
from trm.config import Experiment
from trm.device import Resolved, resolve
from trm.errors import UserError
from trm.evaluation import Evaluation
from trm.learning.ema import EMA, decay_of
from trm.learning.halting import begin
from trm.learning.memory import blank_memory
from trm.learning.optimizers import learning_rate_factor
from trm.learning.schedule_free import OwnAverage, ScheduleFreeAdamW
from trm.network.compilation import compile_recursion
from trm.network.room import least_weights, require_room
from trm.ranks import ALONE, Ranks
from trm.report import Report
from trm.tasks.base import Split, Task
from trm.training.budget import budget_flops, early_examples
from trm.training.build import EXPLORATION, NOISE, build_model, random_stream
from trm.training.counters import Counters, compute_goals
from trm.training.curriculum import FeedbackWindow, advance, begin_course, drawn_depth
from trm.training.data import ExampleStream
from trm.training.examiner import Examiner
from trm.training.flops import step_flops
from trm.training.freezing import frozen_parameters
from trm.training.memory import reset_peak
from trm.training.reporting import make_report
from trm.training.snapshot import restore_state, shared_state, take_state
from trm.training.soundness import require_sound
from trm.training.state import State
from trm.training.steps.ahead import AHEAD, Ahead
from trm.training.steps.graphs import begin_with
from trm.training.steps.kernel import with_kernel
from trm.training.steps.supervision import PartOfUpdate
from trm.training.steps.waiting import Waiting


class Trainer:
    """One training run, as a stream of reports.

    Args:
        config: the validated experiment.
        task: its data; the trainer reads `train` and `valid`, never `test`.
        budget: training FLOPs; None takes it from the config.
        marks: rising shares of the budget at which to report, the last 1.0; None spreads
            `config.train.reports` evenly.
        resolved: machine decisions of an earlier run, to go on with the same ones.

    >>> from trm.config import experiment_from
    >>> experiment = experiment_from({
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
    ...     "train": {"batch_size": 8, "budget": {"steps": 4}},
    ... })
    >>> trainer = Trainer(experiment, experiment.task.build(), marks=(0.5, 1.0))
    >>> [report.step for report in trainer.run()]
    [2, 4]
    """

    def __init__(
        self,
        config: Experiment,
        task: Task,
        budget: float | None = None,
        marks: Sequence[float] | None = None,
        resolved: Resolved | None = None,
    ) -> None:
        self.resolved = resolved or resolve(config.train)
        self.device = torch.device(self.resolved.device)
        require_sound(config, task, self.device)
        self.config = config
        self.task = task
        self.ranks: Ranks = ALONE
        self.budget = budget_flops(config, task) if budget is None else budget
        self.marks = tuple(marks) if marks is not None else config.train.marks
        assert list(self.marks) == sorted(set(self.marks)), self.marks
        assert self.marks[-1] == 1.0, self.marks
        seed = config.train.seed
        if self.device.type in ("cpu", "mps"):  # an Apple GPU shares the machine's memory
            weights = least_weights(
                config.model, task.seq_len, task.vocab_size, task.num_puzzle_identifiers
            )
            require_room(weights, copies=4)
        self.model = build_model(config, task, self.resolved, seed)
        if self.resolved.compile:
            compile_recursion(self.model)
        kernel = self.resolved.kernel if resolved else config.train.kernel
        self.resolved = with_kernel(
            self.resolved, self.model, kernel, loss=config.loss, again=bool(resolved)
        )
        self.optimizer = config.optimizer.build(self.model)
        self.ema = self._average()
        self.frozen = frozen_parameters(config.train.freeze, self.model)
        self.course = begin_course(config, task)
        self.stream = ExampleStream(task, seed)
        self.exploration = random_stream(seed, EXPLORATION)
        # Noise is as large as the state: a GPU draws its own.
        self.noise = random_stream(
            seed, NOISE, self.device if self.device.type == "cuda" else "cpu"
        )
        rows, cells = config.train.batch_size, task.seq_len
        memory = blank_memory(
            config.halting, config.loss, rows, cells, task.vocab_size, self.device
        )
        self.carry = begin(self.model, rows, cells, self.device, memory)
        self.counters = Counters()
        self.window = FeedbackWindow()
        early = early_examples(config, task, self.budget, len(self.marks))
        self.examiner = Examiner(config, task, self.model, self.ema, self.device, early)
        self.difficulty = np.zeros(config.train.batch_size, dtype=np.float32)
        self._goals = compute_goals(self.budget, self.marks)
        self._flops: Callable[[Depth], float] = cache(lambda at: step_flops(config, task, at))
        self.waiting = Waiting(self)
        # Which cells of a draft may be redrawn the task says, on the host.
        looks = bool(config.train.draft.share)
        self.ahead = Ahead(self) if self.device.type in AHEAD and not looks else None
        wanted = self.resolved.cuda_graphs if resolved else config.train.cuda_graphs
        graphs, why = begin_with(wanted, self.device, self.ahead.obstacle if self.ahead else "")
        self.note_graphs(graphs, why or self.resolved.cuda_graphs_reason)

    def _average(self) -> EMA | None:
        main = self.optimizer.parts[0]
        if isinstance(main, ScheduleFreeAdamW):
            return OwnAverage(self.model, main)
        train = self.config.train
        return EMA(self.model, train.ema or 0.0) if train.averages else None

    @property
    def stage(self) -> Stage:
        """What the curriculum has set for the current training step."""
        return self.course.stage

    @property
    def progress(self) -> float:
        """Share of the compute budget that is spent."""
        return min(self.counters.compute / self.budget, 1.0)

    @property
    def finished(self) -> bool:
        """Whether `run` has nothing more to yield."""
        ended = self.counters.diverged or self.counters.collapsed
        return ended or self.counters.mark >= len(self.marks)

    @property
    def at_mark(self) -> bool:
        """Whether `run` evaluates and reports next, before it trains on."""
        return self._meets_mark(self.counters.compute)

    def note_graphs(self, choice: str, reason: str) -> None:
        """Keep what was decided of CUDA graphs."""
        self.resolved = replace(self.resolved, cuda_graphs=choice, cuda_graphs_reason=reason)
        if self.ahead is not None:
            self.ahead.graphs.choice = choice

    def prepare(self) -> None:
        """Set this process's threads, on which results depend bit for bit, and its GPU."""
        if torch.get_num_threads() != self.resolved.threads:
            torch.set_num_threads(self.resolved.threads)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)

    def go_on_eagerly(self, reason: str) -> None:
        """Take torch's own operations, one step after another, from the next one on.

        Args:
            reason: why, in a few words.
        """
        if self.ahead is not None:
            state = self.state_dict()
            self.ahead = None
            self.load_state_dict(state)
        self.model.fused, self.waiting.at_once = None, False
        self.resolved = replace(self.resolved, kernel="eager", kernel_reason=reason)

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Report]:
        """Train to the next mark, evaluate, yield; until the budget is spent or training diverges.

        Args:
            stop: asked between steps; once true, the run ends without a report, at a step from
                which its state can be saved and resumed.
        """
        reset_peak(self.device)
        while not self.finished:
            self.prepare()
            goal = self._goals[self.counters.mark]
            while self.counters.compute < goal and not self.counters.diverged:
                begun = time.perf_counter()
                self.train_step()
                spent = time.perf_counter() - begun
                self.counters.train_seconds += spent
                self.counters.seconds += spent
                if stop():
                    return
            yield self._report()

    def train_step(self) -> None:
        """The supervision steps of the whole batch that go into one update, and that update."""
        group, begun = self.config.train.supervision_per_update, self.counters.compute
        for number in range(group):
            self._supervision_step(PartOfUpdate(number == 0, number == group - 1), begun)
            if self.counters.diverged:
                return

    def _supervision_step(self, part: PartOfUpdate, begun: float) -> None:
        """One of them.

        Args:
            begun: FLOPs that were spent before the first.
        """
        stage = drawn_depth(advance(self.course, self.progress), self.exploration)
        if not self.model.training:  # which asks every module
            self.model.train()
        compute = self.counters.compute + self._flops(stage.depth)
        factor = self._set_learning_rate(compute)
        half_life = self.config.train.ema_half_life
        if self.ema is not None and half_life is not None:
            self.ema.decay = decay_of(half_life, (compute - begun) / self.budget)
        way = self.waiting if self.ahead is None else self.ahead
        way.step(stage, compute, factor, part)

    def _set_learning_rate(self, compute: float) -> float:
        """Set it for the step that ends at `compute`; returns its share of the full one."""
        config, counters = self.config.optimizer, self.counters
        progress = min(compute / self.budget, 1.0)
        if counters.step < config.lr_warmup_steps:
            counters.warmup_progress = progress
        factor = self.stage.lr_factor * learning_rate_factor(
            config, counters.step + 1, progress, counters.warmup_progress
        )
        self.optimizer.set_factor(factor)
        return factor

    def _meets_mark(self, compute: float) -> bool:
        mark = self.counters.mark
        return mark < len(self._goals) and compute >= self._goals[mark]

    def _report(self) -> Report:
        counters = self.counters
        # A step can pass several marks at once; they are one report, that of the last.
        passed = sum(goal <= counters.compute for goal in self._goals)
        counters.mark = max(passed, counters.mark + 1)
        last = counters.mark >= len(self.marks)
        return make_report(counters, self.examiner, self.stage, self.progress, last)

    def evaluate(self, split: Split | None = None, live: bool = False) -> Evaluation:
        """Evaluate on `valid` (or a given split) at full depth, with EMA weights unless `live`."""
        return self.examiner.evaluate(split, live)

    def join(self, ranks: Ranks) -> None:
        """Train on as one of several processes; all of them go on from the first one's state."""
        rows = self.config.train.batch_size
        if ranks.size > rows:
            raise UserError("train.batch_size", rows, f"is less than {ranks.size} processes")
        state = shared_state(self, ranks)
        self.ahead = None  # what several processes say to one another, the host waits for
        self.ranks = self.examiner.ranks = ranks
        self.load_state_dict(state)

    def state_dict(self) -> State:
        """Everything that the rest of the run depends on; of several processes all must ask."""
        return take_state(self)

    def give_state(self) -> None:
        """Take part in a checkpoint that the first of several processes may write."""
        if self.ranks.told(dict)["saves"]:
            self.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Go on exactly where `state_dict` was taken, in this process or another."""
        restore_state(self, state)
