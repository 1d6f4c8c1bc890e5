"""The training loop: one optimiser step per supervision step, a report at each compute mark."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curricula.stage import Depth, Stage
from trm.compilation import compile_recursion
from trm.config import Experiment
from trm.counters import Counters, no_sums
from trm.curriculum import FeedbackWindow, begin_course, disturbed, loss_weights
from trm.data import ExampleStream
from trm.detectors.late_collapse import has_collapsed
from trm.device import Resolved, resolve
from trm.diagnostics import diagnose, evidence
from trm.ema import EMA
from trm.evaluation import Evaluation, evaluate, subset
from trm.flops import step_flops
from trm.halting import Carry, begin, continue_target, halt, refill, wants_to_halt
from trm.losses import act_loss
from trm.memory import peak_memory, reset_peak
from trm.model import TRM, Latent, Output
from trm.optimizers import learning_rate_factor
from trm.probes import Probes, probe, probe_gap, update_ratio
from trm.report import Report
from trm.rolling import ratio_to_recent
from trm.state import State, flatten, unflatten
from trm.tasks.base import Split, Task

_WEIGHTS, _EXPLORATION, _NOISE = 0, 3, 5


def budget_flops(config: Experiment, task: Task, seconds_to_time: float = 4.0) -> float:
    """The compute budget in training FLOPs.

    Steps count at full depth. Minutes are turned into FLOPs by timing real training steps on this
    machine for about `seconds_to_time` seconds, so the result is to be stored, not asked twice.
    """
    budget = config.train.budget
    if budget.flops is not None:
        return budget.flops
    if budget.steps is not None:
        return budget.steps * step_flops(config, task)
    assert budget.minutes is not None
    return budget.minutes * 60.0 * _flops_per_second(config, task, seconds_to_time)


def _flops_per_second(config: Experiment, task: Task, seconds: float) -> float:
    trainer = Trainer(config, task, budget=math.inf)
    trainer.prepare()
    for _ in range(3):
        trainer.train_step()
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        trainer.train_step()
        steps += 1
    # Not the counted compute: a run that diverges at once counts none, but takes its time.
    return steps * step_flops(config, task, trainer.stage.depth) / (time.perf_counter() - begun)


class Trainer:
    """One training run, as a stream of reports.

    Args:
        config: the validated experiment.
        task: its data; the trainer reads `train` and `valid`, never `test`.
        budget: training FLOPs; None takes it from the config.
        marks: rising shares of the budget at which to report, the last 1.0; None spreads
            `config.train.reports` evenly.
        resolved: machine decisions of an earlier run, to go on with the same ones.
    """

    def __init__(
        self,
        config: Experiment,
        task: Task,
        budget: float | None = None,
        marks: Sequence[float] | None = None,
        resolved: Resolved | None = None,
    ) -> None:
        self.config = config
        self.task = task
        self.resolved = resolved or resolve(config.train)
        self.device = torch.device(self.resolved.device)
        self.budget = budget_flops(config, task) if budget is None else budget
        self.marks = tuple(marks) if marks is not None else config.train.marks
        assert list(self.marks) == sorted(set(self.marks)), self.marks
        assert self.marks[-1] == 1.0, self.marks
        seed = config.train.seed
        self.model = build_model(config, task, self.resolved, seed)
        if self.resolved.compile:
            compile_recursion(self.model)
        self.optimizer = config.optimizer.build(self.model)
        self.ema = EMA(self.model, config.train.ema) if config.train.ema else None
        self.course = begin_course(config, task)
        self.stream = ExampleStream(task, seed)
        self.exploration = _generator(seed, _EXPLORATION)
        self.noise = _generator(seed, _NOISE)
        self.carry = begin(self.model, config.train.batch_size, task.seq_len, self.device)
        self.counters = Counters()
        self.window = FeedbackWindow()
        self._difficulty = np.zeros(config.train.batch_size, dtype=np.float32)
        self._valid = subset(task.split("valid"), config.train.valid_examples)
        self._probe_gap = probe_gap(
            config.diagnostics, config.model.halt_max_steps, config.train.batch_size
        )
        self._step_flops: dict[Depth, float] = {}

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

    def prepare(self) -> None:
        """Set this process's thread count to the run's own: results depend on it bit for bit."""
        if torch.get_num_threads() != self.resolved.threads:
            torch.set_num_threads(self.resolved.threads)

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Report]:
        """Train to the next mark, evaluate, yield; until the budget is spent or training diverges.

        Args:
            stop: asked between steps; once true, the run ends without a report, at a step from
                which its state can be saved and resumed.
        """
        reset_peak(self.device)
        while not self.finished:
            self.prepare()
            goal = self._goal(self.marks[self.counters.mark])
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
        """One supervision step of the whole batch and one optimiser step."""
        config, counters = self.config, self.counters
        stage = self.course.advance(self.progress)
        self._refill()
        self.model.train()
        compute = counters.compute + self._flops(stage.depth)
        progress = min(compute / self.budget, 1.0)
        if counters.step < config.optimizer.lr_warmup_steps:
            counters.warmup_progress = progress
        factor = stage.lr_factor * learning_rate_factor(
            config.optimizer, counters.step + 1, progress, counters.warmup_progress
        )
        self.optimizer.set_factor(factor)
        carry = self.carry
        latent, output = self.model(
            disturbed(carry.latent, stage.latent_noise, self.noise),
            carry.inputs,
            carry.puzzle_identifiers,
            H_cycles=stage.H_cycles,
            L_cycles=stage.L_cycles,
        )
        steps = carry.steps + 1
        halted = halt(
            output,
            steps,
            config=config.model,
            halting=config.halting,
            generator=self.exploration,
            max_steps=stage.supervision_steps,
            exploration=stage.exploration,
        )
        losses = act_loss(
            output,
            carry.labels,
            config.loss,
            self._continue_target(latent, steps),
            halt_weight=stage.halt_weight,
            weights=loss_weights(stage, steps, halted),
        )
        self.optimizer.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        counters.grad_norm = self._clipped_norm()
        loss = float(losses.total.detach())
        if not math.isfinite(loss) or not math.isfinite(counters.grad_norm):
            counters.diverged = True
            return
        self._count_spikes(loss)
        before = self._weights() if self._meets_mark(compute) else None
        self.optimizer.step()
        if before is not None:
            ratio = update_ratio(before, self._weights())
            # No step follows a report at the end, whose loss would show that weights are lost.
            counters.diverged = not math.isfinite(ratio)
            counters.update_ratio = 0.0 if counters.diverged else ratio
        if self.ema is not None:
            self.ema.update(self.model)
        self._count(loss, halted, losses.exact, steps)
        carry.latent, carry.steps, carry.halted = latent, steps, halted
        counters.learning_rate = config.optimizer.lr * factor
        counters.step += 1
        counters.compute = compute
        if config.curriculum.is_adaptive:
            self._give_feedback(loss, output, losses.exact, halted)

    def _give_feedback(self, loss: float, output: Output, exact: Tensor, halted: Tensor) -> None:
        halting = wants_to_halt(output, self.config.model, self.config.halting)
        self.window.count(
            loss=loss,
            right=exact.cpu().numpy(),
            halting=halting.cpu().numpy(),
            halted=halted.cpu().numpy(),
            difficulty=self._difficulty,
            bins=self.course.bins,
        )
        if self.course.wants_feedback(self.progress):
            self.course.observe(self.progress, self.window.feedback())
            self.window = FeedbackWindow()

    def _refill(self) -> None:
        count = int(self.carry.halted.sum())
        if not count:
            return
        fresh = self.stream.take(count, self.stage.difficulty, self.stage.sources)
        self._difficulty[self.carry.halted.cpu().numpy()] = fresh.difficulty
        self.counters.examples += count
        self.counters.sums["begun"] += count
        self.counters.sums["difficulty"] += float(fresh.difficulty.sum(dtype=np.float64))
        self.carry = refill(
            self.model,
            self.carry,
            *(
                torch.from_numpy(array).to(self.device)
                for array in (fresh.inputs, fresh.labels, fresh.puzzle_identifiers)
            ),
        )

    def _continue_target(self, latent: Any, steps: Tensor) -> Tensor | None:
        if self.config.model.no_ACT_continue:
            return None
        with torch.no_grad():
            _, following = self.model(
                latent,
                self.carry.inputs,
                self.carry.puzzle_identifiers,
                H_cycles=self.stage.H_cycles,
                L_cycles=self.stage.L_cycles,
            )
        return continue_target(following, steps >= self.stage.supervision_steps)

    def _clipped_norm(self) -> float:
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        limit = self.config.optimizer.grad_clip
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return float(norm)

    def _count(self, loss: float, halted: Tensor, exact: Tensor, steps: Tensor) -> None:
        sums = self.counters.sums
        sums["loss"] += loss
        sums["rows"] += 1
        sums["halted"] += float(halted.sum())
        sums["halted_exact"] += float((halted & exact).sum())
        sums["halted_steps"] += float(steps[halted].sum())

    def _count_spikes(self, loss: float) -> None:
        counters, config = self.counters, self.config.diagnostics
        window, sums = config.spike_window, counters.sums
        ratio = ratio_to_recent(counters.recent_losses, loss, window, config.spike_floor)
        if config.spike_factor is not None and ratio > config.spike_factor:
            sums["loss_spikes"] += 1
        norm_ratio = ratio_to_recent(counters.recent_norms, counters.grad_norm, window)
        sums["loss_spike_ratio"] = max(sums["loss_spike_ratio"], ratio)
        sums["grad_spike_ratio"] = max(sums["grad_spike_ratio"], norm_ratio)
        sums["grad_norm_max"] = max(sums["grad_norm_max"], counters.grad_norm)

    def _meets_mark(self, compute: float) -> bool:
        mark = self.counters.mark
        return mark < len(self.marks) and compute >= self._goal(self.marks[mark])

    def _weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])

    def _flops(self, depth: Depth) -> float:
        if depth not in self._step_flops:
            self._step_flops[depth] = step_flops(self.config, self.task, depth)
        return self._step_flops[depth]

    def evaluate(self, split: Split | None = None, live: bool = False) -> Evaluation:
        """Evaluate on `valid` (or a given split) at full depth, with EMA weights unless `live`."""
        threshold = self.config.halting.eval_threshold
        with self._evaluated(live):
            return evaluate(
                self.model,
                self.task,
                self._valid if split is None else split,
                steps=self.config.model.halt_max_steps,
                batch_size=self.config.train.eval_batch_size,
                device=self.device,
                loss=self.config.loss,
                halt_threshold=0.5 if threshold is None else threshold,
            )

    @contextmanager
    def _evaluated(self, live: bool = False) -> Iterator[None]:
        """The model as it is evaluated: with EMA weights unless `live`."""
        self.model.eval()
        with self.ema.swapped(self.model) if self.ema and not live else nullcontext():
            yield

    def _probe(self) -> Probes:
        """The probes of a report, where one is due."""
        counters, config = self.counters, self.config.diagnostics
        last = counters.mark >= len(self.marks)
        far = counters.step - counters.probed_step >= self._probe_gap
        if config.probe is None or not (config.probe == "reports" or far or last):
            return Probes()
        counters.probed_step = counters.step
        with self._evaluated():
            return probe(
                self.model,
                config,
                valid=subset(self._valid, config.examples),
                train=subset(self.task.split("train"), config.examples),
                steps=self.config.model.halt_max_steps,
                batch_size=self.config.train.eval_batch_size,
                device=self.device,
            )

    def state_dict(self) -> State:
        """Everything that the rest of the run depends on."""
        optimizer_tensors, optimizer_values = flatten(self.optimizer.state_dict())
        carry = self.carry
        training = {f"optimizer/{key}": tensor for key, tensor in optimizer_tensors.items()}
        training |= {
            "carry/z_H": carry.latent.z_H,
            "carry/z_L": carry.latent.z_L,
            "carry/steps": carry.steps,
            "carry/halted": carry.halted,
            "carry/inputs": carry.inputs,
            "carry/labels": carry.labels,
            "carry/puzzle_identifiers": carry.puzzle_identifiers,
            "exploration": self.exploration.get_state(),
            "noise": self.noise.get_state(),
            "difficulty": torch.from_numpy(self._difficulty),
        }
        return State(
            weights=dict(self.model.state_dict()),
            ema=self.ema.state_dict() if self.ema else {},
            training=training,
            values={
                "counters": asdict(self.counters),
                "stream": self.stream.state_dict(),
                "course": self.course.state_dict(),
                "window": asdict(self.window),
                "optimizer": optimizer_values,
            },
        )

    def load_state_dict(self, state: State) -> None:
        """Go on exactly where `state_dict` was taken, in this process or another."""
        self.model.load_state_dict(state.weights)
        if self.ema is not None:
            self.ema.load_state_dict(state.ema)
        training = {key: tensor.to(self.device) for key, tensor in state.training.items()}
        optimizer = {
            key.removeprefix("optimizer/"): tensor
            for key, tensor in training.items()
            if key.startswith("optimizer/")
        }
        self.optimizer.load_state_dict(unflatten(optimizer, state.values["optimizer"]))
        self.carry = Carry(
            latent=Latent(training["carry/z_H"], training["carry/z_L"]),
            steps=training["carry/steps"],
            halted=training["carry/halted"],
            inputs=training["carry/inputs"],
            labels=training["carry/labels"],
            puzzle_identifiers=training["carry/puzzle_identifiers"],
        )
        self.exploration.set_state(state.training["exploration"].cpu())
        self.stream.load_state_dict(state.values["stream"])
        self.counters = Counters.restored(state.values["counters"])
        if "course" in state.values:
            self.noise.set_state(state.training["noise"].cpu())
            self._difficulty = state.training["difficulty"].cpu().numpy().copy()
            self.course.load_state_dict(state.values["course"])
            self.window = FeedbackWindow(**state.values["window"])
        else:  # written before curricula had a state: only fixed depth was driven then
            self.course.advance(self.progress)

    def _goal(self, mark: float) -> float:
        # Sums and products of FLOPs round; a step that meets a mark must not miss it by that.
        return mark * self.budget * (1.0 - 1e-12)

    def _report(self) -> Report:
        counters = self.counters
        begun = time.perf_counter()
        # A step can pass several marks at once; they are one report, that of the last.
        passed = sum(self._goal(mark) <= counters.compute for mark in self.marks)
        counters.mark = max(passed, counters.mark + 1)
        result = self.evaluate()
        live = self.evaluate(live=True) if self.ema is not None else result
        probes = Probes() if counters.diverged else self._probe()
        counters.seconds += time.perf_counter() - begun
        sums = counters.sums
        counters.sums = no_sums()
        halted = max(sums["halted"], 1.0)
        columns = asdict(result)
        accuracy, evaluated = result.exact_accuracy, columns.pop("examples")
        peak = max([accuracy, *(row["exact_accuracy"] for row in counters.history)])
        report = Report(
            mark=counters.mark,
            step=counters.step,
            compute=counters.compute,
            progress=self.progress,
            seconds=counters.seconds,
            train_seconds=counters.train_seconds,
            examples=counters.examples,
            train_loss=sums["loss"] / max(sums["rows"], 1.0),
            train_exact_accuracy=sums["halted_exact"] / halted,
            train_steps=sums["halted_steps"] / halted,
            live_exact_accuracy=live.exact_accuracy,
            learning_rate=counters.learning_rate,
            grad_norm=counters.grad_norm,
            H_cycles=self.stage.H_cycles,
            L_cycles=self.stage.L_cycles,
            supervision_steps=self.stage.supervision_steps,
            halt_weight=self.stage.halt_weight,
            exploration=self.stage.exploration,
            latent_noise=self.stage.latent_noise,
            lr_factor=self.stage.lr_factor,
            train_difficulty=sums["difficulty"] / sums["begun"] if sums["begun"] else 0.5,
            parameters=sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            memory=peak_memory(self.device),
            diverged=counters.diverged,
            evaluated=evaluated,
            loss_spikes=int(sums["loss_spikes"]),
            loss_spike_ratio=sums["loss_spike_ratio"],
            grad_norm_max=sums["grad_norm_max"],
            grad_spike_ratio=sums["grad_spike_ratio"],
            update_ratio=counters.update_ratio,
            ema_gap=accuracy - live.exact_accuracy,
            drop_from_peak=peak - accuracy,
            **columns,
            **asdict(probes),
        )
        return self._diagnosed(report)

    def _diagnosed(self, report: Report) -> Report:
        """The report with what the failure detectors say of the run so far."""
        counters, config = self.counters, self.config.diagnostics
        counters.history.append({name: getattr(report, name) for name in evidence()})
        findings = diagnose(counters.history, config)
        last = counters.mark >= len(self.marks)
        hopeless = any(finding.detector in config.stop_on for finding in findings)
        if not counters.diverged:
            counters.collapsed = hopeless or (last and has_collapsed(counters.history, config))
        return replace(report, findings=len(findings), collapsed=counters.collapsed)


def build_model(config: Experiment, task: Task, resolved: Resolved, seed: int) -> TRM:
    """A freshly initialised model for a task, on the resolved device."""
    return TRM(
        config.model,
        seq_len=task.seq_len,
        vocab_size=task.vocab_size,
        num_puzzle_identifiers=task.num_puzzle_identifiers,
        generator=_generator(seed, _WEIGHTS),
        dtype=resolved.dtype,
    ).to(resolved.device)


def _generator(seed: int, stream: int) -> torch.Generator:
    # Streams of one seed, and neighbouring seeds, must not overlap: SeedSequence hashes both.
    state = np.random.SeedSequence([seed, stream]).generate_state(1, dtype=np.uint64)[0]
    return torch.Generator().manual_seed(int(state) & 0x7FFF_FFFF_FFFF_FFFF)
