"""What `checkpoint.json` says: config, machine decisions, counters, versions, names, checksums."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm.config import Experiment, experiment_from
from trm.device import Resolved
from trm.errors import UserError
from trm.files.sums import FILES, HEAD, is_sound
from trm.plugins import import_plugins, plugin_names

CHECKPOINT_VERSION = 1


@dataclass(frozen=True)
class Head:
    """What `checkpoint.json` says.

    Attributes:
        config: the experiment that is being trained.
        resolved: the machine decisions of the run.
        budget: training FLOPs of the whole run.
        marks: shares of the budget at which it reports.
        values: counters, data position and optimiser settings.
        provenance: data hash and library versions.
        sums: checksums of the other files, by name; none in an older checkpoint.
        vocabulary: the name of each token, where the task's data decides; none otherwise.
        identifiers: the name of each puzzle identifier, likewise; none if they are very many.
    """

    config: Experiment
    resolved: Resolved
    budget: float
    marks: tuple[float, ...]
    values: dict[str, Any]
    provenance: dict[str, Any]
    sums: dict[str, str] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()


def read_head(folder: Path, *, plugins: bool = False) -> Head:
    """The JSON part of a checkpoint.

    Args:
        plugins: whether to import the plug-ins that its config names, from installed packages and
            the working directory.

    Raises:
        UserError: not a checkpoint, damaged, or written by a newer version.
    """
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{folder}: no checkpoint here ({HEAD}: {error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON") from error
    version = head.get("schema_version") if isinstance(head, dict) else None
    if version != CHECKPOINT_VERSION:
        raise UserError(f"{path}: schema_version", version, f"is not {CHECKPOINT_VERSION}")
    if not is_sound(head):
        raise UserError(f"{path}: damaged: its checksum differs: use another checkpoint")
    try:
        if plugins:
            import_plugins(plugin_names(head["config"]))
        return Head(
            experiment_from(head["config"]),
            Resolved(**head["resolved"]),
            float(head["budget"]),
            tuple(head["marks"]),
            dict(head["values"]),
            {"data_hash": None, **head["provenance"]},
            dict(head.get(FILES, {})),
            tuple(head.get("vocabulary", ())),
            tuple(head.get("identifiers", ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged: {in_a_line(error)}: use another checkpoint") from error


def in_a_line(error: Exception) -> str:
    """An exception as part of one line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:197]}..."
