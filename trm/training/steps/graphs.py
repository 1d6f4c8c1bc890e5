"""Whole training steps as CUDA graphs: one launch in place of hundreds, each kernel as it was.

A graph is recorded for each structure of a step: depth, and what else decides which kernels run.
Learning rates, weights of losses and limits are tensors that it reads, so they record nothing anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cache

import torch
from torch import Tensor

from trm.errors import UserError

WARM = 3
"""Steps of a structure before it is recorded: they make optimiser states and libraries' rooms."""
MOST = 32
"""Graphs of one run: each keeps the memory of its step."""
TIMED = 5
CLOSE = 1e-2
"""How far a replayed step's change may be from the eager one's, as a share of that: kernels that
add in any order differ in the last bits, of which an optimiser makes more."""

Compute = Callable[[], None]


def begin_with(wanted: str, device: torch.device, obstacle: str = "") -> tuple[str, str]:
    """`on`, `off` or `auto`, which the first steps then decide; and why it is off.

    Args:
        wanted: `train.cuda_graphs`, or what an earlier part of the run came to.
        obstacle: why a step cannot be recorded, in a few words; empty if it can.

    Raises:
        UserError: the config asks for what there is not.

    >>> begin_with("auto", torch.device("cpu"))
    ('off', 'on cpu, not on a CUDA device')
    """
    if device.type != "cuda":
        obstacle = f"on {device.type}, not on a CUDA device"
    if wanted == "on" and obstacle:
        raise UserError(
            "train.cuda_graphs", "on", f"is not to be had here: {obstacle}: set it to auto"
        )
    if wanted == "off" or obstacle:
        return "off", obstacle or "as train.cuda_graphs says"
    return wanted, ""


class Graphs:
    """Runs steps, from graphs once there are any and as long as they pay.

    Args:
        choice: from `begin_with`.
        state: every tensor that a step changes, all in place.
        generators: of the device, which steps draw from.
        told: called once `auto` has come to `on` or `off`, with the reason.
    """

    def __init__(
        self,
        choice: str,
        state: Callable[[], Sequence[Tensor]],
        generators: Sequence[torch.Generator],
        told: Callable[[str, str], None],
    ) -> None:
        self.choice = choice
        self._state = state
        self._generators = generators
        self._told = told
        self._replays: dict[Hashable, Compute] = {}
        self._seen: Counter[Hashable] = Counter()

    def run(self, structure: Hashable, compute: Compute) -> None:
        """One step.

        Args:
            structure: equal for steps that run the same kernels on the same tensors.
            compute: device work alone.
        """
        if structure in self._replays:
            self._replays[structure]()
            return
        self._seen[structure] += 1
        warm = self._seen[structure] <= WARM or len(self._replays) >= MOST
        if self.choice == "off" or warm:
            compute() if self.choice == "off" else aside(compute)
            return
        try:
            replay = record(compute, self._generators)
        except Exception as error:
            if self.choice == "on":
                raise UserError(
                    "train.cuda_graphs", "on", f"failed ({_line(error)}): set it to auto"
                ) from error
            self._decide("off", f"recording failed: {_line(error)}")
            compute()
            return
        if self.choice == "auto":
            reason = self._reason_against(compute, replay)
            self._decide("off" if reason else "on", reason)
        if self.choice == "off":
            compute()
            return
        self._replays[structure] = replay
        replay()

    def forget(self) -> None:
        """Record anew: tensors that steps change are others from now on."""
        self._replays.clear()
        self._seen.clear()

    def _decide(self, choice: str, reason: str) -> None:
        self.choice = choice
        self._told(choice, reason)

    def _reason_against(self, compute: Compute, replay: Compute) -> str:
        """Try both, and leave everything as it was; empty if the graph is right and pays."""
        state = self._state()
        kept, drawn = [t.clone() for t in state], [g.get_state() for g in self._generators]

        def ended(step: Compute, times: int = 1) -> tuple[list[Tensor], float]:
            spent = seconds(step, times)
            found = [t.clone() for t in state]
            for tensor, before in zip(state, kept, strict=True):
                tensor.copy_(before)
            for generator, before in zip(self._generators, drawn, strict=True):
                generator.set_state(before)
            return found, spent

        right, found = ended(lambda: aside(compute))[0], ended(replay)[0]
        off = max(_distance(*each) for each in zip(kept, right, found, strict=True))
        if not off <= CLOSE:
            return f"a recorded step differs from an eager one by {off:.1g} of its change"
        eager, recorded = (ended(step, TIMED)[1] for step in (compute, replay))
        if recorded >= eager:
            return f"a recorded step takes {recorded / eager:.2f} of the time of an eager one"
        return ""


def _distance(before: Tensor, right: Tensor, found: Tensor) -> float:
    """How far apart two tensors are, as a share of what the right one has changed by."""
    if torch.equal(right, found):
        return 0.0
    if not right.is_floating_point():
        return float("inf")
    change = (right.double() - before.double()).norm()
    return float((found.double() - right.double()).norm() / change.clamp(min=1e-12))


def record(compute: Compute, generators: Sequence[torch.Generator]) -> Compute:
    """A step as a graph, not run yet; what it gives back runs it."""
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        compute()
    return graph.replay


def aside(compute: Compute) -> None:
    """A step on a stream of its own, as one that is to be recorded later must have run."""
    if not torch.cuda.is_available():
        compute()
        return
    here, there = torch.cuda.current_stream(), _other_stream(torch.cuda.current_device())
    there.wait_stream(here)
    with torch.cuda.stream(there):
        compute()
    here.wait_stream(there)


@cache
def _other_stream(device: int) -> torch.cuda.Stream:
    """One for all such steps: memory that a stream has used is not another's."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def seconds(step: Compute, times: int) -> float:
    """That the device takes for so many."""
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begun.record()
    for _ in range(times):
        step()
    ended.record()
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1e3


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
