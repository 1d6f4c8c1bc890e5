"""Where learning curves are shown live, beside what keeps them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from curricula.component import Component, shown
from search.config.sinks import AnyLogSink

Mode = Literal["off", "online", "offline"]

_NOT_IN_PROJECTS = "/\\#?%:"


def _mode_alone(value: Any) -> Any:
    return {"mode": value} if isinstance(value, str) else value


def _project(name: str) -> str:
    if any(character in name for character in _NOT_IN_PROJECTS):
        raise ValueError(f"{shown(name)} must hold none of {' '.join(_NOT_IN_PROJECTS)}")
    return name


class WandbConfig(Component):
    """Weights & Biases: a sweep is a group, a trial is a run in it. A bare word is the mode.

    Attributes:
        mode: `online` needs an API key (`WANDB_API_KEY` or `wandb login`); `offline` writes
            runs into `wandb/` in the run folder, for `wandb sync` to upload.
        project: of every run.
        entity: null is the account's own.
        tags: of every run.
    """

    mode: Mode = "off"
    project: Annotated[str, AfterValidator(_project)] = Field(
        default="trm-search", min_length=1, max_length=128
    )
    entity: str | None = Field(default=None, min_length=1)
    tags: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(default_factory=list)


class LogConfig(Component):
    """Live views of a sweep or a training; off unless asked for.

    The ledger of a sweep, and `reports.jsonl` of a training, keep every report in any case.

    Attributes:
        wandb: Weights & Biases.
        tensorboard: whether event files are written into `tensorboard/` in the run folder, a
            run a trial.
        sinks: logs of plug-ins, by name or as sections.
    """

    wandb: Annotated[
        WandbConfig, BeforeValidator(_mode_alone, json_schema_input_type=Mode | WandbConfig)
    ] = WandbConfig()
    tensorboard: bool = False
    sinks: list[AnyLogSink] = Field(default_factory=list)

    @property
    def wanted(self) -> bool:
        """Whether there is any."""
        return self.wandb.mode != "off" or self.tensorboard or bool(self.sinks)
