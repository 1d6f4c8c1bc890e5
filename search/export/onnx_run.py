"""A `think.onnx` in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Thoughts:
    """What a graph says of n puzzles.

    Attributes:
        answers: int64 `[n, seq_len]`.
        chance: halting probabilities `[n]`.
        taken: supervision steps of each, `[n]`.
    """

    answers: NDArray[np.int64]
    chance: NDArray[np.float32]
    taken: NDArray[np.int64]


class Thinker:
    """A session of ONNX Runtime on the CPU.

    Args:
        graph: a file, or what one holds.
        threads: that one call uses.
    """

    def __init__(self, graph: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        content: Any = graph if isinstance(graph, bytes) else str(graph)
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def think(
        self,
        inputs: NDArray[np.int32],
        identifiers: NDArray[np.int32],
        steps: int,
        threshold: float = 1.0,
        batch: int = 512,
    ) -> Thoughts:
        """Answers to puzzles `[n, seq_len]`, in batches; a threshold of 1 stops none early."""
        parts = []
        for begin in range(0, len(inputs), batch):
            rows = slice(begin, begin + batch)
            given = {
                "inputs": inputs[rows].astype(np.int64),
                "puzzle_identifiers": identifiers[rows].astype(np.int64),
                "steps": np.array(steps, np.int64),
                "threshold": np.array(threshold, np.float32),
            }
            parts.append(self._session.run(["answers", "chance", "taken"], given))
        return Thoughts(*(np.concatenate(part) for part in zip(*parts, strict=True)))
