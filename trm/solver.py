"""A trained model to use: it evaluates itself and solves puzzles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trm.checkpoint.head import Head, read_head
from trm.checkpoint.reading import load_model
from trm.checkpoint.sameness import require_same_data
from trm.device import resolve
from trm.evaluation import Evaluation, Thinking, score, subset, think
from trm.evaluation import solve as think_through
from trm.files.run_folder import cache_folder, checkpoint_in
from trm.learning.halting import HaltingRule, logit_threshold
from trm.network.model import TRM
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, Tokens
from trm.tasks.drafts import Drafts, drafts_of
from trm.thought.config import DEFAULT_NOISE, NoiseConfig
from trm.thought.picks import PICKS, evidence
from trm.thought.rollouts import Rollouts, record
from trm.training.flops import inference_step_flops


@dataclass(frozen=True)
class Answer:
    """What a model answers after a supervision step.

    Attributes:
        step: the supervision step, from 1.
        tokens: the answer, int32 `[seq_len]`; `task.show(tokens)` draws it.
        halt_probability: the chance that the model gives the answer of being right.
        solved: whether the task's verifier accepts the answer.
    """

    step: int
    tokens: Tokens
    halt_probability: float
    solved: bool


@dataclass(frozen=True)
class Pondered:
    """What several rollouts make of one puzzle.

    Attributes:
        answer: the one that was picked.
        rollout: whose it is, from 1; the first is the model as it is.
        forming: the answers of each rollout, a step each, up to where it ended.
    """

    answer: Answer
    rollout: int
    forming: list[list[Answer]]


@dataclass(frozen=True)
class Solver:
    """A trained model with its task, as `load` gives it.

    Attributes:
        folder: its checkpoint.
        head: what the checkpoint says of itself: `head.config` is the experiment.
        task: the task that it was trained on.
        model: the model, with averaged weights where the run kept them.
        device: where the model is.

    >>> from tempfile import mkdtemp
    >>> from trm.run.training import train
    >>> tiny = {
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2},
    ...     "train": {"batch_size": 8, "budget": {"steps": 2}, "reports": 1},
    ... }
    >>> solver = load(train(tiny, out=mkdtemp()).folder)
    >>> solver.task.name, solver.head.config.model.hidden_size, solver.evaluate(examples=5).examples
    ('arrows', 16, 5)
    """

    folder: Path
    head: Head
    task: Task
    model: TRM
    device: torch.device

    def split(self, name: SplitName) -> Split:
        """One split of the task.

        Raises:
            UserError: the task gives other data than the model was trained on.
        """
        require_same_data(self.folder, self.head, self.task)
        return self.task.split(name)

    def think(
        self,
        split: Split,
        steps: int | None = None,
        halting: HaltingRule | None = None,
        drafts: Tokens | None = None,
    ) -> Thinking:
        """What the model answers to each puzzle after each supervision step.

        Args:
            steps: supervision steps; None: those that the model was trained for.
            halting: what early stopping goes by; None is the config's rule.
            drafts: what its answers begin from, `[n, seq_len]`, as `trm.tasks.drafts.drafts_of`
                gives them; None: nothing.
        """
        return think_through(
            self.model,
            split,
            steps=steps or self.head.config.model.halt_max_steps,
            batch_size=self.head.config.train.eval_batch_size,
            device=self.device,
            loss=self.head.config.loss,
            halting=halting or self.head.config.halting,
            drafts=drafts,
        )

    def evaluate(
        self,
        split: SplitName | Split = "valid",
        *,
        steps: int | None = None,
        examples: int | None = None,
        halting: HaltingRule | None = None,
        drafts: Drafts | None = None,
    ) -> Evaluation:
        """Metrics over a split: every puzzle runs all its steps, early stopping stands beside it.

        Args:
            split: one of the task's, or puzzles with answers, as `task.read` gives them.
            steps: supervision steps; None: those that the model was trained for.
            examples: at most so many.
            halting: what early stopping goes by; None is the config's rule.
            drafts: what its answers begin from, by puzzle, as `trm.tasks.drafts.read_drafts` gives
                them; None: nothing.

        Raises:
            UserError: the task gives other data than the model was trained on.
        """
        chosen = subset(self.split(split) if isinstance(split, str) else split, examples)
        begun = None if drafts is None else drafts_of(chosen.inputs, drafts)
        thinking = self.think(chosen, steps, halting, begun)
        threshold = logit_threshold(halting or self.head.config.halting) or 0.5
        return score(thinking, self.task, chosen, threshold)

    @property
    def step_flops(self) -> float:
        """Forward FLOPs of one supervision step of one puzzle."""
        return inference_step_flops(self.model.config, self.task.seq_len, self.task.vocab_size)

    def record(
        self,
        split: Split,
        steps: Sequence[int],
        *,
        noise: NoiseConfig | None = None,
        seed: int = 0,
        halting: HaltingRule | None = None,
        keep: bool = False,
        progress: Callable[[float], object] | None = None,
    ) -> Rollouts:
        """Rollouts over puzzles, at most `train.eval_batch_size` rows at once.

        Args:
            steps: supervision steps of each rollout, none more than the one before.
            noise: of all rollouts but the first; None is `DEFAULT_NOISE`.
            seed: of the noise.
            halting: a rule that is asked at each step whether it would stop.
            keep: whether the answers are kept, and not only whether they are right.
            progress: told the share of the work that is done.

        >>> from tempfile import mkdtemp
        >>> from trm.run.training import train
        >>> from trm.thought.points import point
        >>> solver = load(train({
        ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
        ...              "valid_examples": 8, "test_examples": 8},
        ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2},
        ...     "train": {"batch_size": 8, "budget": {"steps": 2}, "reports": 1},
        ... }, out=mkdtemp()).folder)
        >>> found = solver.record(solver.split("valid"), [8, 2, 2])
        >>> for steps, breadth in (2, 1), (8, 1), (2, 3):
        ...     at = point(found, steps, breadth)
        ...     print(int(at.spent.mean()), at.picked["best_q"].shape)
        2 (8,)
        8 (8,)
        6 (8,)
        """
        return record(
            self.model,
            self.task,
            split,
            steps,
            noise=noise or DEFAULT_NOISE,
            batch_size=self.head.config.train.eval_batch_size,
            device=self.device,
            seed=seed,
            halting=halting,
            keep=keep,
            progress=progress,
        )

    def solve(
        self,
        puzzle: str | Tokens,
        steps: int | None = None,
        identifiers: Tokens | None = None,
        draft: Tokens | None = None,
    ) -> list[Answer]:
        """The answer to one puzzle as it forms, after each supervision step; the last one counts.

        Args:
            puzzle: as a person writes it, or its tokens `[seq_len]`.
            steps: supervision steps; None: those that the model was trained for.
            identifiers: its row of the puzzle embedding, `[1]`; None asks the task.
            draft: what the answer begins from, `[seq_len]`; None: nothing.

        Raises:
            UserError: the text is not a puzzle of the task.
        """
        inputs = self.task.parse(puzzle) if isinstance(puzzle, str) else puzzle
        rows = self.task.identify(inputs[None]) if identifiers is None else identifiers
        begun = None if draft is None else torch.from_numpy(draft[None]).to(self.device)
        forming = think(
            self.model,
            torch.from_numpy(inputs[None]).to(self.device),
            torch.from_numpy(rows).to(self.device),
            steps or self.head.config.model.halt_max_steps,
            begun,
        )
        answers = []
        for step, output in enumerate(forming, start=1):
            tokens = output.logits[0].argmax(-1).to(torch.int32).cpu().numpy()
            solved = bool(self.task.verify(inputs[None], tokens[None])[0])
            chance = float(output.q_halt[0].float().sigmoid())
            answers.append(Answer(step, tokens, chance, solved))
        return answers

    def ponder(
        self,
        puzzle: str | Tokens,
        *,
        depth: int = 1,
        breadth: int = 1,
        noise: NoiseConfig | None = None,
        pick: str = "best_q",
        seed: int = 0,
        halting: HaltingRule | None = None,
        identifiers: Tokens | None = None,
    ) -> Pondered:
        """The answer to one puzzle that is picked from several rollouts.

        Args:
            puzzle: as a person writes it, or its tokens `[seq_len]`.
            depth: of a rollout, in multiples of the supervision steps of training.
            breadth: rollouts.
            noise: of all rollouts but the first; None is `DEFAULT_NOISE`.
            pick: a name in `trm.thought.picks.PICKS`.
            seed: of the noise.
            halting: a rule that ends rollouts; None lets each take all its steps.
            identifiers: its row of the puzzle embedding, `[1]`; None asks the task.

        Raises:
            UserError: the text is not a puzzle of the task.
        """
        inputs = self.task.parse(puzzle) if isinstance(puzzle, str) else puzzle
        rows = self.task.identify(inputs[None]) if identifiers is None else identifiers
        unknown = np.full_like(inputs[None], IGNORE)
        one = Split(inputs[None], unknown, np.zeros(1, np.float32), rows)
        steps = depth * self.head.config.model.halt_max_steps
        found = self.record(
            one, [steps] * breadth, noise=noise, seed=seed, halting=halting, keep=True
        )
        seen = evidence(found, steps, breadth, halting=halting is not None)
        rollout, step = (int(index[0]) for index in PICKS[pick].choose(seen))
        chances = torch.from_numpy(seen.q[:, :, 0]).sigmoid().tolist()
        forming = [
            [
                Answer(
                    index + 1,
                    found.answers[0][seen.answer[row, index, 0]],
                    chances[row][index],
                    bool(seen.valid[row, index, 0]),
                )
                for index in range(int(seen.ends[row, 0]) + 1)
            ]
            for row in range(breadth)
        ]
        return Pondered(forming[rollout][step], rollout + 1, forming)


def load(
    path: Path | str,
    device: str = "auto",
    *,
    progress: Progress | None = None,
    key: str = "device",
) -> Solver:
    """A trained model from a checkpoint, or the newest one of a folder of `train`.

    Sets this process's thread count to the run's own: results depend on it bit for bit.

    Args:
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: told what of the task's data is being made, and the share that is there.
        key: what an error names as the place where the device was chosen.

    Raises:
        UserError: no checkpoint, a damaged one, or no such device.

    >>> from tempfile import mkdtemp
    >>> from trm.run.training import train
    >>> folder = mkdtemp()
    >>> _ = train({
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "halt_max_steps": 2},
    ...     "train": {"batch_size": 8, "budget": {"steps": 2}, "reports": 1},
    ... }, out=folder)
    >>> solver = load(folder)
    >>> solver.evaluate("test").examples
    8
    >>> [answer.step for answer in solver.solve("Rdl udl lll")]
    [1, 2]
    """
    folder = checkpoint_in(Path(path))
    head = read_head(folder, plugins=True)
    task = head.config.task.build(cache_folder(), progress)
    # Nothing is compiled here, so a device that compiles nothing will do.
    chosen = {"device": device, "compile": False}
    resolved = resolve(head.config.train.model_copy(update=chosen), key)
    torch.set_num_threads(resolved.threads)
    model, _ = load_model(folder, task, resolved)
    return Solver(folder, head, task, model, torch.device(resolved.device))
