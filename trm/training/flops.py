"""Training compute, counted analytically: matrix products only, two FLOPs a multiply-add."""

from __future__ import annotations

from curricula.stage import Depth
from trm.config import Experiment
from trm.network.layers import swiglu_width
from trm.network.model import ModelConfig
from trm.network.soundness import mixing_flops
from trm.tasks.base import Task
from trm.thought.measure import measured_steps


def recursion_flops(config: ModelConfig, seq_len: int) -> float:
    """Forward FLOPs of one update over one row: a pass of a network, and the state's transfer."""
    dim, positions = config.hidden_size, config.prefix + seq_len
    inner = swiglu_width(dim, config.expansion, config.swiglu_multiple)
    channels = 2.0 * positions * dim * inner * 3
    if config.mlp == "conv_swiglu":
        channels += 2.0 * positions * inner * config.conv_kernel
    mixing = {name: mixing_flops(config, name, positions) for name in set(config.mixers)}
    transfer = positions * config.state_transfer.flops(dim)
    return sum(channels + mixing[name] for name in config.mixers) + transfer


def supervision_step_flops(
    config: ModelConfig,
    seq_len: int,
    vocab_size: int,
    batch_size: int,
    H_cycles: int | None = None,
    L_cycles: int | None = None,
) -> float:
    """Training FLOPs of one supervision step of a batch, evaluation not included.

    All H cycles run forward; the last `gradient_cycles` (with `one_step_gradient` the last two
    updates) and the heads also run backward, at twice the cost of their forward pass. The continue
    head costs one more forward step, for its target.

    Args:
        H_cycles: instead of the config's, as a depth curriculum has it.
        L_cycles: likewise.
    """
    H = config.H_cycles if H_cycles is None else H_cycles
    L = config.L_cycles if L_cycles is None else L_cycles
    once = recursion_flops(config, seq_len)
    cycle = (L + 1) * once
    back = 2 * once if config.one_step_gradient else config.cycles_with_gradient(H) * cycle
    heads = 2.0 * seq_len * config.hidden_size * vocab_size + 2.0 * config.hidden_size * 2
    total = H * cycle + heads + 2.0 * (back + heads)
    if not config.no_ACT_continue:
        total += H * cycle + heads
    return batch_size * total


def inference_step_flops(config: ModelConfig, seq_len: int, vocab_size: int) -> float:
    """Forward FLOPs of one supervision step of one example at full depth, heads included."""
    heads = 2.0 * seq_len * config.hidden_size * vocab_size + 2.0 * config.hidden_size * 2
    return config.H_cycles * (config.L_cycles + 1) * recursion_flops(config, seq_len) + heads


def evaluation_flops(config: Experiment, task: Task) -> float:
    """Forward FLOPs of evaluating one example at full depth, with each of its sets of weights."""
    step = inference_step_flops(config.model, task.seq_len, task.vocab_size)
    return (2 if config.averages else 1) * config.model.halt_max_steps * step


def thought_flops(config: Experiment, task: Task, counts: tuple[int, int], reports: int) -> float:
    """Forward FLOPs of what the reports of a run say of deeper and wider thinking.

    Args:
        counts: examples of an evaluation before the last, and of the last.
        reports: of the run.
    """
    thought, model = config.thought, config.model
    early, last = (min(count, thought.examples or count) for count in counts)
    examples = last + ((reports - 1) * early if thought.at == "reports" else 0)
    steps = sum(measured_steps(thought, model.halt_max_steps))
    return examples * steps * inference_step_flops(model, task.seq_len, task.vocab_size)


def step_flops(config: Experiment, task: Task, depth: Depth | None = None) -> float:
    """The same for an experiment's batch and task, at full depth or at a curriculum's."""
    return supervision_step_flops(
        config.model,
        task.seq_len,
        task.vocab_size,
        config.train.batch_size,
        depth.H_cycles if depth else None,
        depth.L_cycles if depth else None,
    )
