"""From counters and evaluations to a report, and what the failure detectors make of it."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from curricula.stage import Stage
from trm.detectors.late_collapse import has_collapsed
from trm.diagnostics import DiagnosticsConfig, diagnose, evidence
from trm.evaluation import Evaluation
from trm.report import Report
from trm.thought.measure import Measures
from trm.training.counters import Counters
from trm.training.examiner import Examiner
from trm.training.memory import peak_memory
from trm.training.probes import Probes


def make_report(
    counters: Counters, examiner: Examiner, stage: Stage, progress: float, last: bool
) -> Report:
    """Evaluate, probe where one is due, and say where the run is.

    Sums since the last report begin anew; the time that it takes counts in `counters.seconds`.

    Args:
        counters: where the run is, with `mark` that of the report.
        stage: what the curriculum had set for the last training step.
        progress: share of the compute budget that is spent.
        last: whether it is the run's last report.
    """
    begun = time.perf_counter()
    result = examiner.evaluate_at_mark(last)
    live = examiner.evaluate_at_mark(last, live=True) if examiner.ema is not None else result
    probes = Probes()
    if not counters.diverged and examiner.wants_probe(counters.step - counters.probed_step, last):
        counters.probed_step = counters.step
        probes = examiner.probe()
    found = Measures() if counters.diverged else examiner.measures(last)
    latency = examiner.latency_ms()
    counters.seconds += time.perf_counter() - begun
    report = _row(counters, examiner, stage, progress, result, live, probes, found, latency)
    return judged(report, counters, examiner.config.diagnostics, last)


def _row(
    counters: Counters,
    examiner: Examiner,
    stage: Stage,
    progress: float,
    result: Evaluation,
    live: Evaluation,
    probes: Probes,
    measures: Measures,
    latency_ms: float,
) -> Report:
    sums = counters.take_sums()
    halted = max(sums["halted"], 1.0)
    columns = asdict(result)
    accuracy, evaluated = result.exact_accuracy, columns.pop("examples")
    peak = max([accuracy, *(row["exact_accuracy"] for row in counters.history)])
    return Report(
        mark=counters.mark,
        step=counters.step,
        compute=counters.compute,
        progress=progress,
        seconds=counters.seconds,
        train_seconds=counters.train_seconds,
        examples=counters.examples,
        train_loss=sums["loss"] / max(sums["rows"], 1.0),
        train_exact_accuracy=sums["halted_exact"] / halted,
        train_steps=sums["halted_steps"] / halted,
        live_exact_accuracy=live.exact_accuracy,
        learning_rate=counters.learning_rate,
        grad_norm=counters.grad_norm,
        H_cycles=stage.H_cycles,
        L_cycles=stage.L_cycles,
        supervision_steps=stage.supervision_steps,
        halt_weight=stage.halt_weight,
        exploration=stage.exploration,
        latent_noise=stage.latent_noise,
        lr_factor=stage.lr_factor,
        train_difficulty=sums["difficulty"] / sums["begun"] if sums["begun"] else 0.5,
        parameters=sum(p.numel() for p in examiner.model.parameters() if p.requires_grad),
        latency_ms=latency_ms,
        memory=peak_memory(examiner.device),
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
        **(asdict(probes) | {k: v for k, v in asdict(measures).items() if v is not None}),
    )


def judged(report: Report, counters: Counters, config: DiagnosticsConfig, last: bool) -> Report:
    """The report with what the failure detectors say of the run so far, which may end it."""
    counters.history.append({name: getattr(report, name) for name in evidence()})
    findings = diagnose(counters.history, config)
    hopeless = any(finding.detector in config.stop_on for finding in findings)
    if not counters.diverged:
        counters.collapsed = hopeless or (last and has_collapsed(counters.history, config))
    return replace(report, findings=len(findings), collapsed=counters.collapsed)
