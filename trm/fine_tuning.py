"""A run that begins with the weights of a checkpoint instead of fresh ones.

Weights alone are taken over, the averaged ones where the checkpoint has them: optimiser, step
count, curriculum and the average itself begin anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from curricula.component import shown
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import read_state
from trm.config import Experiment
from trm.errors import UserError
from trm.files.run_folder import checkpoint_in
from trm.network.model import ModelConfig
from trm.tasks.base import Task
from trm.training.build import fresh_model
from trm.training.state import State
from trm.training.trainer import Trainer

START = "start.json"
"""The file of a run folder that says where its first weights come from."""

_TOKEN_ROWS = ("embed_tokens", "lm_head.weight")
_IDENTIFIER_ROWS = "puzzle_emb"
_REMEDY = "take over that value, or train without --from"


@dataclass(frozen=True)
class Start:
    """Where a run's first weights come from.

    Attributes:
        path: the checkpoint, absolute.
        step: how far it was trained.
        sha256: of its files of weights.
        averaged: whether its averaged weights were taken.
        tokens: tokens whose embedding and head were kept; those of others are drawn anew.
        identifiers: rows of the puzzle embedding that were kept; others are the old rows' mean.

    >>> start = Start("runs/base/checkpoints/000000400-0002", 400, "ab12", True, 9, 1)
    >>> start.in_words(vocab_size=11, identifiers=1)[:58]
    'starts from the averaged weights of step 400 in runs/base/'
    """

    path: str
    step: int
    sha256: str
    averaged: bool
    tokens: int
    identifiers: int

    def in_words(self, vocab_size: int, identifiers: int) -> str:
        """A line for the user.

        Args:
            vocab_size: tokens of the new task.
            identifiers: its puzzle identifiers.
        """
        which = "the averaged weights" if self.averaged else "the weights"
        text = f"starts from {which} of step {self.step} in {self.path}"
        if self.tokens < vocab_size:
            text += f"; {vocab_size - self.tokens} of {vocab_size} tokens are drawn anew"
        if self.identifiers < identifiers:
            new = identifiers - self.identifiers
            text += f"; {new} of {identifiers} puzzle identifiers begin at the mean of the old ones"
        return text


@dataclass(frozen=True)
class Graft:
    """First weights of a run, made from a checkpoint's.

    Attributes:
        start: where they come from.
        weights: all of them, by the model's names.
    """

    start: Start
    weights: dict[str, Tensor]

    def apply(self, trainer: Trainer) -> None:
        """Give them to a trainer that has not begun."""
        assert trainer.counters.step == 0
        trainer.model.load_state_dict(self.weights)
        if trainer.ema is not None:
            averaged = trainer.ema.state_dict()
            trainer.ema.load_state_dict({name: self.weights[name] for name in averaged})


def graft(path: Path, config: Experiment, task: Task) -> Graft:
    """The first weights of a run of `config`, from a checkpoint or the newest of a training's.

    Of a token that both vocabularies hold by its name the rows are kept, and of a puzzle identifier
    likewise; where nobody wrote names, tasks of one name mean the same by every number. What is
    new among tokens is drawn with the run's seed; a new identifier begins at the mean of the old
    rows, as the reference's evaluation does.

    Raises:
        UserError: no checkpoint, a damaged one, or one whose weights do not fit the model.
    """
    folder = checkpoint_in(path)
    head = read_head(folder, plugins=True)
    _require_same_network(folder, head.config.model, config.model)
    # A sweep's `winner/` has weights alone.
    whole = (folder / "training.safetensors").is_file()
    state = read_state(folder, head, training=whole)
    old = state.weights | state.ema
    fresh = fresh_model(config, task, config.train.seed).state_dict()
    by_number = head.config.task.name == task.name
    tokens = _same(head.vocabulary, task.tokens, _rows(old, _TOKEN_ROWS[0]), task.vocab_size,
                   by_number)  # fmt: skip
    identifiers = _same(head.identifiers, task.identifiers, _rows(old, _IDENTIFIER_ROWS),
                        task.num_puzzle_identifiers, by_number)  # fmt: skip
    weights = {}
    for name, tensor in fresh.items():
        if name not in old:
            raise UserError(f"{folder}: has no weights {name!r}: {_REMEDY}")
        if name == _IDENTIFIER_ROWS:
            mean = old[name].mean(dim=0, keepdim=True)
            weights[name] = _placed(old[name], mean.expand_as(tensor).clone(), identifiers)
        elif name in _TOKEN_ROWS:
            weights[name] = _placed(old[name], tensor, tokens)
        elif old[name].shape != tensor.shape:
            raise UserError(_misfit(folder, name, config.model, state, task.seq_len))
        else:
            weights[name] = old[name]
    start = Start(
        path=str(folder.absolute()),
        step=int(head.values.get("counters", {}).get("step", 0)),
        sha256=_digest(folder),
        averaged=bool(state.ema),
        tokens=sum(row >= 0 for row in tokens),
        identifiers=sum(row >= 0 for row in identifiers) if _IDENTIFIER_ROWS in fresh else 0,
    )
    return Graft(start, weights)


def read_start(folder: Path) -> Start | None:
    """Where the run in a folder has its first weights from; None if they were fresh.

    Raises:
        UserError: the file that says it is damaged.
    """
    path = folder / START
    try:
        return Start(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"{path}: damaged: restore it, or start a new run") from error


def start_text(start: Start) -> str:
    """What `read_start` reads."""
    return json.dumps(asdict(start), indent=1) + "\n"


def start_provenance(start: Start | None) -> dict[str, Any]:
    """What a checkpoint's provenance says of it."""
    return {} if start is None else {"start": asdict(start)}


def require_same_start(folder: Path, recorded: Start | None, given: Path | None) -> None:
    """A run that goes on has the start that it was begun with.

    Args:
        recorded: what `folder` says.
        given: what the user names now; None names nothing.

    Raises:
        UserError: they differ. A folder whose newest checkpoint is another by now does not.
    """
    if given is None:
        return
    if recorded is None:
        raise UserError(
            "--from", str(given), f"differs: the run in {folder} began with fresh weights: leave "
            "it out, or start a new run",
        )  # fmt: skip
    begun = Path(recorded.path)
    if given.absolute() in (begun, *begun.parents):
        return
    if _digest(checkpoint_in(given)) != recorded.sha256:
        raise UserError(
            "--from", str(given), f"differs: the run in {folder} was begun from {recorded.path}: "
            "leave it out, or start a new run",
        )  # fmt: skip


def _require_same_network(folder: Path, old: ModelConfig, new: ModelConfig) -> None:
    """
    Raises:
        UserError: a setting that weights depend on has another value.
    """
    names = ("mixer", "mlp", "conv_kernel", "hidden_size", "num_heads", "L_layers", "expansion",
             "swiglu_multiple", "positions", "rope_theta", "embedding_dim", "prefix", "norm",
             "separate_networks", "state_transfer", "initial_state")  # fmt: skip
    keys = {"positions": "pos_encodings", "embedding_dim": "puzzle_emb_ndim",
            "prefix": "puzzle_emb_len"}  # fmt: skip
    for name in names:
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            key = keys.get(name, name)
            raise UserError(
                f"model.{key}: {shown(now)} differs from {shown(before)} in {folder}: {_REMEDY}"
            )


def _misfit(folder: Path, name: str, model: ModelConfig, state: State, length: int) -> str:
    """What is wrong where settings agree and shapes do not: weights depend on the length."""
    cause = f"mixer {', '.join(dict.fromkeys(model.mixers))}"
    if name == "embed_pos":
        cause = f"pos_encodings {model.positions}"
    puzzles = state.training.get("carry/inputs")
    before = "another length" if puzzles is None else f"length {puzzles.shape[-1]}"
    return (
        f"{folder}: was trained on puzzles of {before}, these have length {length}, and "
        f"model.{cause} has weights for each position ({name}): start from a model with mixer "
        "attention and pos_encodings rope, or train without --from"
    )


def _same(
    old: Sequence[str], new: Sequence[str], before: int, now: int, by_number: bool
) -> list[int]:
    """The old row of each of `now` new ones; -1 where there is none.

    Args:
        before: old rows.
        by_number: whether rows without names mean the same by their number.
    """
    if old and new:
        places = {name: row for row, name in enumerate(old)}
        return [places.get(name, -1) for name in new]
    if by_number and not old and not new:
        return [row if row < before else -1 for row in range(now)]
    return [-1] * now


def _rows(weights: dict[str, Tensor], name: str) -> int:
    return len(weights[name]) if name in weights else 0


def _placed(old: Tensor, fresh: Tensor, rows: Sequence[int]) -> Tensor:
    """The fresh tensor with the old rows `rows` in their places; -1 leaves a row as it is."""
    source = torch.tensor(rows)
    known = source >= 0
    placed = fresh.clone()
    placed[known] = old[source[known]]
    return placed


def _digest(folder: Path) -> str:
    """Hex digest of a checkpoint's weights, averaged ones included."""
    digest = sha256()
    for name in ("weights.safetensors", "ema.safetensors"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
