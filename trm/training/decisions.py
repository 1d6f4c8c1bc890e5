"""What a run decided by itself, and why: a line each, for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm.device import Resolved
from trm.network.fused.step import MOST_CHANNELS, MOST_POSITIONS
from trm.train_config import TrainConfig

if TYPE_CHECKING:
    from trm.training.trainer import Trainer


@dataclass(frozen=True)
class Decision:
    """One of them.

    Attributes:
        key: of the config that could have decided it.
        value: what it came to.
        why: in a few words.
    """

    key: str
    value: str
    why: str

    def text(self) -> str:
        """
        >>> Decision("train.threads", "1", "as the config says").text()
        'train.threads: 1 (as the config says)'
        """
        return f"{self.key}: {self.value} ({self.why})"


def decisions(trainer: Trainer) -> list[Decision]:
    """What a trainer goes by, of which the config leaves some open or to the machine."""
    train, resolved = trainer.config.train, trainer.resolved
    found = [
        Decision("train.device", _device(resolved), _why_device(train, resolved)),
        Decision("train.precision", resolved.precision, _why_precision(train, resolved)),
        Decision("train.threads", str(resolved.threads), _as(train.threads, resolved.threads)),
        Decision(
            "train.compile", str(resolved.compile).lower(), _as(train.compile, resolved.compile)
        ),
        Decision("train.kernel", resolved.kernel, _why_kernel(train, resolved)),
        Decision("train.cuda_graphs", resolved.cuda_graphs, _why_graphs(train, resolved)),
        _budget(trainer),
        _evaluations(trainer),
    ]
    if trainer.config.thought.asked:
        found.append(_measures(trainer))
    if trainer.counters.step:
        what = f"step {trainer.counters.step:,}"
        found.append(Decision("--resume", what, "with the decisions that the run was begun with"))
    return found


_SAID = "as the config says"
_KEPT = "as it was when the run began"


def _as(said: object, found: object) -> str:
    return _SAID if said == found else _KEPT


def _device(resolved: Resolved) -> str:
    same = resolved.device_name == resolved.device
    return resolved.device if same else f"{resolved.device}, {resolved.device_name}"


def _why_device(train: TrainConfig, resolved: Resolved) -> str:
    if train.device != "auto":
        return _SAID
    kind = resolved.device.partition(":")[0]
    return {"cuda": "auto: the CUDA device here", "mps": "auto: the Apple GPU here"}.get(
        kind, "auto: no CUDA device here, and no Apple GPU that does what the config asks"
    )


def _why_precision(train: TrainConfig, resolved: Resolved) -> str:
    if train.precision != "auto":
        return _SAID
    if resolved.precision == "bfloat16":
        return "auto: this CUDA device computes in it"
    return "auto: bfloat16 is for CUDA devices that compute in it"


def _why_kernel(train: TrainConfig, resolved: Resolved) -> str:
    if resolved.kernel == train.kernel:
        return _SAID
    if resolved.kernel == "fused":
        return (
            "auto: the compiled library is here, and the model is within hidden "
            f"{MOST_CHANNELS} and {MOST_POSITIONS:,} positions"
        )
    return f"{train.kernel}: {resolved.kernel_reason or _KEPT}"


def _why_graphs(train: TrainConfig, resolved: Resolved) -> str:
    if resolved.cuda_graphs == "auto":
        return "auto: the first steps try them"
    if resolved.cuda_graphs == train.cuda_graphs:
        return _SAID
    if resolved.cuda_graphs == "on":
        return f"{train.cuda_graphs}: tried, the same as eager steps and faster"
    return f"{train.cuda_graphs}: {resolved.cuda_graphs_reason or _KEPT}"


def _budget(trainer: Trainer) -> Decision:
    budget = trainer.config.train.budget
    given = next(f"{value:g} {key}" for key, value in budget if value is not None)
    return Decision("train.budget", f"{trainer.budget:.3g} training FLOPs", given)


def _evaluations(trainer: Trainer) -> Decision:
    train, examiner = trainer.config.train, trainer.examiner
    early, whole = examiner.counts
    last = f"{whole:,} examples at each report"
    if early < whole:
        last = f"{early:,} of {whole:,} examples at each report but the last"
    if train.early_examples is not None:
        return Decision("train.early_examples", last, _SAID)
    if train.eval_share is None:
        return Decision("train.eval_share", last, "null: all of them")
    cost = examiner.cost(len(trainer.marks)) / trainer.budget
    least = "" if cost <= train.eval_share else f", above {train.eval_share:.0%}: fewer say little"
    return Decision("train.eval_share", last, f"{cost:.1%} of the training FLOPs{least}")


def _measures(trainer: Trainer) -> Decision:
    config = trainer.config.thought
    when = "the last report" if config.at == "last" else "every report"
    cost = trainer.examiner.measuring_cost(len(trainer.marks)) / trainer.budget
    why = f"{cost:.1%} of the training FLOPs, which the budget does not count"
    return Decision("thought", f"{', '.join(config.asked)} in {when}", why)
