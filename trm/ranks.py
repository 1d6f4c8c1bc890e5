"""One of several processes that train one model together, each on its share of every batch.

What a batch as a whole decides (which examples come next, which rows explore, the gradient, the
counters) is the same on all of them, so that any number of them trains the run that one would.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

GO_ON, SAVE, STOP = range(3)
"""What a process may wish between two steps; all do what the highest one says."""


class LostRankError(RuntimeError):
    """Another of the processes has ended, or does not answer."""


@dataclass(frozen=True)
class OwnRows:
    """Which rows of a batch are this process's own.

    Attributes:
        begin: the first of them.
        end: one past the last.
        of: rows of the whole batch.
    """

    begin: int
    end: int
    of: int

    @property
    def own(self) -> slice:
        """They, as an index."""
        return slice(self.begin, self.end)


class Ranks:
    """A process that trains alone; `Joined` is one of several.

    Every method but `place` and `own` is to be called by all processes, in the same order.

    Attributes:
        rank: this process's number, from 0; 0 is the one that reports and saves.
        size: how many there are.

    >>> Ranks().place(8)
    OwnRows(begin=0, end=8, of=8)
    """

    rank = 0
    size = 1

    def place(self, rows: int) -> OwnRows:
        """This process's rows of a batch of `rows`: as many as any other's, or one more."""
        return OwnRows(rows * self.rank // self.size, rows * (self.rank + 1) // self.size, rows)

    def own(self, whole: Tensor) -> Tensor:
        """This process's rows of a tensor `[rows, ...]`."""
        return whole

    def whole(self, own: Tensor, rows: int) -> Tensor:
        """The rows of all processes, `[rows, ...]`, from each one's own."""
        return own

    def columns(self, *own: Tensor, rows: int) -> tuple[Tensor, ...]:
        """`whole` of several columns of bool or whole numbers, each `[own rows]`."""
        return own

    def add_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Give every parameter the sum of all processes' gradients; returns the sum of losses."""
        return loss

    def highest(self, value: int) -> int:
        """The highest value that any process has."""
        return value

    def told(self, say: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What the first process says, plain JSON; the others do not ask themselves."""
        return say()

    def shared(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors, on the CPU where they come from there."""
        return tensors


ALONE = Ranks()


class Joined(Ranks):
    """One of several processes, of torch's default process group.

    Tensors on a CPU go through gloo, those of a GPU through NCCL.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def own(self, whole: Tensor) -> Tensor:
        # A copy: a view would keep all of it.
        return whole[self.place(len(whole)).own].clone()

    def whole(self, own: Tensor, rows: int) -> Tensor:
        places = [Joined(rank, self.size).place(rows) for rank in range(self.size)]
        most = max(place.end - place.begin for place in places)
        # As bytes: not every backend has every type.
        mine = own.contiguous().view(len(own), -1).view(torch.uint8)
        sent = mine.new_zeros(most, mine.shape[1])
        sent[: len(mine)] = mine
        found = [torch.empty_like(sent) for _ in places]
        _told_of_loss(lambda: dist.all_gather(found, sent))
        rests = [part[: place.end - place.begin] for part, place in zip(found, places, strict=True)]
        return torch.cat(rests).view(own.dtype).view(rows, *own.shape[1:])

    def columns(self, *own: Tensor, rows: int) -> tuple[Tensor, ...]:
        found = self.whole(torch.stack([column.to(torch.int32) for column in own], dim=1), rows)
        return tuple(c.to(mine.dtype) for c, mine in zip(found.unbind(1), own, strict=True))

    def add_gradients(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        dense = []
        for p in parameters:
            if p.grad is not None and p.grad.is_sparse:
                p.grad = self._sum_of_rows(p.grad)
            elif p.grad is not None:
                dense.append(p.grad)
        kind = dense[0].dtype if dense else loss.dtype
        summed = torch.cat([*(g.flatten() for g in dense), loss.detach().to(kind).view(1)])
        _told_of_loss(lambda: dist.all_reduce(summed))
        parts = torch.split(summed, [*(g.numel() for g in dense), 1])
        if dense:
            torch._foreach_copy_(
                dense, [part.view_as(g) for part, g in zip(parts, dense, strict=False)]
            )
        return summed[-1]

    def _sum_of_rows(self, gradient: Tensor) -> Tensor:
        """The sum of sparse gradients, whose rows differ from process to process."""
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        counts = self.whole(torch.tensor([len(rows)]), self.size).tolist()
        most = max(counts)
        padded = values.new_zeros(most, values.shape[1])
        padded[: len(values)] = values
        places = rows.new_zeros(most)
        places[: len(rows)] = rows
        all_rows = self.whole(places[None], self.size)
        all_values = self.whole(padded[None], self.size)
        rows = torch.cat([part[:n] for part, n in zip(all_rows, counts, strict=True)])
        values = torch.cat([part[:n] for part, n in zip(all_values, counts, strict=True)])
        whole = torch.sparse_coo_tensor(rows[None], values, gradient.shape, check_invariants=True)
        return whole.coalesce()

    def highest(self, value: int) -> int:
        found = torch.tensor(value)
        _told_of_loss(lambda: dist.all_reduce(found, op=dist.ReduceOp.MAX))
        return int(found)

    def told(self, say: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        text = json.dumps(say()).encode() if self.rank == 0 else b""
        length = self.highest(len(text))
        sent = torch.zeros(length, dtype=torch.uint8)
        if text:
            sent = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        _told_of_loss(lambda: dist.broadcast(sent, src=0))
        found: dict[str, Any] = json.loads(sent.numpy().tobytes())
        return found

    def shared(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        shapes = self.told(
            lambda: {
                name: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
                for name, tensor in tensors.items()
            }
        )
        found = {}
        for name, (kind, shape) in shapes.items():
            tensor = tensors[name].detach().cpu().contiguous() if self.rank == 0 else None
            if tensor is None:
                tensor = torch.empty(shape, dtype=getattr(torch, kind))
            if tensor.numel():
                sent = tensor.view(-1).view(torch.uint8)
                _told_of_loss(lambda sent=sent: dist.broadcast(sent, src=0))  # type: ignore[misc]
            found[name] = tensor
        return found


def _told_of_loss(collective: Callable[[], object]) -> None:
    """
    Raises:
        LostRankError: it cannot be done, as another process has gone.
    """
    try:
        collective()
    except RuntimeError as error:  # gloo has no class of its own for it
        raise LostRankError(" ".join(str(error).split())[:200]) from error
