"""How a model that is being trained is evaluated and probed: at full depth, EMA weights if on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict

import torch

from trm.config import Experiment
from trm.evaluation import Evaluation, evaluate, sample, subset
from trm.learning.ema import EMA
from trm.network.model import TRM
from trm.ranks import ALONE, Ranks
from trm.tasks.base import Split, Task
from trm.thought.measure import Measures, measures
from trm.training.flops import evaluation_flops, thought_flops
from trm.training.latency import latency_alone
from trm.training.probes import Probes, probe, probe_gap


class Examiner:
    """Looks at a model from outside: nothing of the run changes by it.

    Args:
        config: the validated experiment.
        task: the examiner reads `valid`, and `train` for probes.
        model: the model in training, on `device`.
        ema: its averaged weights; None where none are kept.
        device: where the model is.
        early: examples of the evaluations before the last.
    """

    def __init__(
        self,
        config: Experiment,
        task: Task,
        model: TRM,
        ema: EMA | None,
        device: torch.device,
        early: int,
    ) -> None:
        self.config = config
        self.task = task
        self.model = model
        self.ema = ema
        self.device = device
        self.ranks: Ranks = ALONE
        self._valid = subset(task.split("valid"), config.train.valid_examples)
        self._early = sample(self._valid, early)
        self._gap = probe_gap(
            config.diagnostics, config.model.halt_max_steps, config.train.batch_size
        )

    def evaluate(self, split: Split | None = None, live: bool = False) -> Evaluation:
        """Evaluate on `valid` (or a given split) at full depth, with EMA weights unless `live`."""
        with self._evaluated(live):
            return evaluate(
                self.model,
                self.task,
                self._valid if split is None else split,
                steps=self.config.model.halt_max_steps,
                batch_size=self.config.train.eval_batch_size,
                device=self.device,
                loss=self.config.loss,
                halting=self.config.halting,
                ranks=self.ranks,
            )

    @property
    def counts(self) -> tuple[int, int]:
        """Examples of an evaluation before the last, and of the last."""
        return len(self._early), len(self._valid)

    def cost(self, reports: int) -> float:
        """Forward FLOPs of all evaluations of a run with so many reports."""
        early, whole = self.counts
        return ((reports - 1) * early + whole) * evaluation_flops(self.config, self.task)

    def evaluate_at_mark(self, last: bool, live: bool = False) -> Evaluation:
        """The same for a report: on all of `valid` at the last one, on a sample before."""
        return self.evaluate(self._valid if last else self._early, live)

    def measures(self, last: bool) -> Measures:
        """What deeper and wider thinking is worth, where the report is to say it."""
        config = self.config.thought
        if not config.asked or not (last or config.at == "reports"):
            return Measures()
        return Measures(**self.ranks.told(lambda: asdict(self._measured(last))))

    def _measured(self, last: bool) -> Measures:
        with self._evaluated():
            return measures(
                self.model,
                self.task,
                self._thought_about(last),
                self.config.thought,
                beyond=self.config.diagnostics.beyond,
                batch_size=self.config.train.eval_batch_size,
                device=self.device,
            )

    def _thought_about(self, last: bool) -> Split:
        whole = self._valid if last else self._early
        return sample(whole, self.config.thought.examples or len(whole))

    def measuring_cost(self, reports: int) -> float:
        """Forward FLOPs of all measures of a run with so many reports."""
        return thought_flops(self.config, self.task, self.counts, reports)

    def latency_ms(self) -> float:
        """Milliseconds of one puzzle alone at full depth, as the first process finds it."""
        return float(self.ranks.told(lambda: {"latency_ms": self._latency()})["latency_ms"])

    def _latency(self) -> float:
        with self._evaluated():
            steps = self.config.model.halt_max_steps
            return latency_alone(self.model, self._valid, steps, self.device)

    def wants_probe(self, steps: int, last: bool) -> bool:
        """Whether a report is to be probed.

        Args:
            steps: training steps since the last probed report.
            last: whether it is the run's last report.
        """
        how = self.config.diagnostics.probe
        return how is not None and (how == "reports" or steps >= self._gap or last)

    def probe(self) -> Probes:
        """What the model does beyond its metrics, as the first of the processes finds it."""
        return Probes(**self.ranks.told(lambda: asdict(self._probed())))

    def _probed(self) -> Probes:
        config = self.config.diagnostics
        with self._evaluated():
            return probe(
                self.model,
                self.task,
                config,
                valid=subset(self._valid, config.examples),
                train=subset(self.task.split("train"), config.examples),
                steps=self.config.model.halt_max_steps,
                batch_size=self.config.train.eval_batch_size,
                device=self.device,
            )

    @contextmanager
    def _evaluated(self, live: bool = False) -> Iterator[None]:
        """The model as it is evaluated: with EMA weights unless `live`."""
        self.model.eval()
        with self.ema.swapped(self.model) if self.ema and not live else nullcontext():
            yield
