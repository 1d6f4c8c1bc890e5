"""Why seeds of a config cannot be trained as one model: said by its config, or by a training."""

from __future__ import annotations

from trm.config import Experiment
from trm.learning.optimizers import AdamAtan2Config, AdamWConfig
from trm.network.layers import Attention
from trm.network.mixers import MIXERS, PositionsMLP
from trm.training.trainer import Trainer

_MIXERS = {name: MIXERS[name] for name in ("attention", "mlp_t")}


def obstacle(config: Experiment) -> str:
    """In a few words, as far as the config alone says it; empty if it says nothing.

    >>> from trm.config import experiment_from
    >>> obstacle(experiment_from({"task": {"name": "arrows"}, "train": {"compile": True}}))
    'train.compile is on'
    """
    if config.curriculum.is_adaptive:
        return "its curriculum learns from each seed, which then differ in depth"
    if type(config.optimizer) not in (AdamWConfig, AdamAtan2Config):
        return f"optimizer {config.optimizer.name!r} may not go element by element"
    if config.halting.watches or config.halting.recalls:
        return f"halting rule {config.halting.name!r} looks at more than a step's output"
    if not config.loss.alone:
        return "its loss looks at more than a step's output and labels"
    if config.train.draft.share:
        return "its examples begin from drafts, which each seed draws for itself"
    if config.train.ema_half_life is not None:
        return "the half-life of its average is a share of the run"
    if config.curriculum.stochastic_depth is not None:
        return "each seed draws its own depth of a step"
    if config.train.supervision_per_update > 1:
        return "the gradients of several supervision steps are added"
    if config.model.draws or config.model.initial_state != "fixed":
        return "its states begin at random or are learnt, or noise is added in each update"
    for mixer in dict.fromkeys(config.model.mixers):
        if mixer not in _MIXERS or MIXERS[mixer] is not _MIXERS[mixer]:
            return f"mixer {mixer!r} was not tried side by side"
    if config.model.mlp != "swiglu":
        return f"mlp {config.model.mlp!r} was not tried side by side"
    return "train.compile is on" if config.train.compile else ""


def unstackable(trainer: Trainer) -> str:
    """Why seeds of such a training cannot be stacked, in a few words; empty if they can."""
    config, model = trainer.config, trainer.model
    if reason := obstacle(config):
        return reason
    if model.sparse_rows:
        return "its puzzle embedding has sparse gradients"
    mixers = [getattr(block, str(block.mixing)) for block in model.layers]
    if any(type(mixer) not in (Attention, PositionsMLP) for mixer in mixers):
        return f"mixer {config.model.mixer!r} was not tried side by side"
    if trainer.resolved.compile:
        return "train.compile is on"
    return "it is one of several processes" if trainer.ranks.size > 1 else ""
