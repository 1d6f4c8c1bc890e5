"""Mazes with one way between any two rooms (perfect), or with some dead ends opened (braided)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.allocation import Allocation
from trm.tasks.base import Progress, SplitName, Tokens
from trm.tasks.cache import SPLITS
from trm.tasks.maze.grid import GOAL, OPEN, START, WALL, canonical
from trm.tasks.maze.paths import distances, lengths

_BATCH = 256
_BARREN = 60
"""Batches without a new maze after which the generator gives up."""
_STEPS = ((-2, 0), (0, 2), (2, 0), (0, -2))


def carved(size: int, braid: float, rng: np.random.Generator) -> Tokens:
    """Walls and open cells `[size, size]`: rooms on every other cell, joined by a random walk.

    A depth-first walk that goes back where it is stuck, which gives long corridors
    (https://en.wikipedia.org/wiki/Maze_generation_algorithm, recursive backtracker). Rooms lie on
    even rows and columns; where the size is even, the last row and column are walls.

    Args:
        braid: the share of dead ends that get a second way out.
    """
    cells = np.full((size, size), WALL, dtype=np.int32)
    rooms = (size + 1) // 2
    begin = rng.integers(rooms, size=2) * 2
    trail = [(int(begin[0]), int(begin[1]))]
    cells[trail[0]] = OPEN
    while trail:
        y, x = trail[-1]
        on = [(dy, dx) for dy, dx in _inside(y, x, size) if cells[y + dy, x + dx] == WALL]
        if not on:
            trail.pop()
            continue
        dy, dx = on[int(rng.integers(len(on)))]
        cells[y + dy // 2, x + dx // 2] = cells[y + dy, x + dx] = OPEN
        trail.append((y + dy, x + dx))
    if braid:
        _open_dead_ends(cells, size, braid, rng)
    return cells


def _inside(y: int, x: int, size: int) -> list[tuple[int, int]]:
    return [(dy, dx) for dy, dx in _STEPS if 0 <= y + dy < size and 0 <= x + dx < size]


def _open_dead_ends(cells: Tokens, size: int, braid: float, rng: np.random.Generator) -> None:
    for y in range(0, size, 2):
        for x in range(0, size, 2):
            closed = [
                (dy, dx)
                for dy, dx in _inside(y, x, size)
                if cells[y + dy // 2, x + dx // 2] == WALL
            ]
            dead_end = len(_inside(y, x, size)) - len(closed) == 1
            if dead_end and closed and rng.random() < braid:
                dy, dx = closed[int(rng.integers(len(closed)))]
                cells[y + dy // 2, x + dx // 2] = OPEN


def drawn(
    size: int,
    braid: float,
    path: tuple[int, int],
    sizes: dict[SplitName, int],
    seed: int,
    progress: Progress | None,
) -> dict[SplitName, Tokens]:
    """Mazes of each split `[n, cells]`, whose path lengths are spread evenly over `path`.

    Rooms are an even number of steps apart, so path lengths are even. No maze of one split is a
    rotation or reflection of another split's.

    Raises:
        UserError: there are too few different mazes with such paths.
    """
    rng = np.random.default_rng(seed)
    allocation = Allocation({name: sizes[name] for name in ("valid", "test", "train")})
    total = allocation.missing
    steps = np.arange(path[0] + path[0] % 2, path[1] + 1, 2)
    chosen: dict[SplitName, list[Tokens]] = {name: [] for name in SPLITS}
    seen: set[bytes] = set()
    barren = 0
    while allocation.missing:
        before = allocation.missing
        if progress is not None:
            progress("making mazes", 1.0 - before / total)
        count = min(_BATCH, before + 16)
        mazes = np.stack([carved(size, braid, rng).ravel() for _ in range(count)])
        mazes = _with_ends(mazes, rng.choice(steps, count), size, rng)
        for maze, key in zip(mazes, canonical(mazes, size), strict=True):
            if (text := key.tobytes()) in seen:
                continue
            seen.add(text)
            if (name := allocation.place(text)) is not None:
                chosen[name].append(maze)
        barren = barren + 1 if allocation.missing == before else 0
        if barren == _BARREN:
            raise UserError(
                "task.path", list(path),
                f"gives {total - before} of the {total} examples asked: ask for fewer, for shorter "
                "paths, or for a larger size",
            )  # fmt: skip
    return {name: np.stack(chosen[name]) for name in SPLITS}


def _with_ends(
    mazes: Tokens, wanted: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Tokens:
    """Those of the mazes that have rooms so many steps apart, two of which become start and goal.

    The first end is as far from a random room as any: there the longest paths begin.
    """
    count = len(mazes)
    free = mazes != WALL
    room = np.zeros((size, size), dtype=np.bool_)
    room[::2, ::2] = True
    first = _one_of(np.broadcast_to(room.ravel(), mazes.shape), rng)
    away = distances(free, first, size)
    far = _one_of(away == away.max(axis=1, keepdims=True), rng)
    # Every other maze begins at a random room, so that starts are not all at dead ends.
    begin = np.where((np.arange(count) % 2 == 0)[:, None], far, first)
    away = distances(free, begin, size)
    able = (away == wanted[:, None]) & room.ravel()
    keep = able.any(axis=1)
    ends = mazes[keep].copy()
    ends[begin[keep]] = START
    ends[_one_of(able[keep], rng)] = GOAL
    assert (lengths(ends, size) == wanted[keep]).all()
    return np.asarray(ends)


def _one_of(cells: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """One true cell of each row, each equally likely."""
    draw = np.where(cells, rng.random(cells.shape), -1.0)
    chosen = np.zeros(cells.shape, dtype=np.bool_)
    chosen[np.arange(len(cells)), draw.argmax(axis=1)] = cells.any(axis=1)
    return chosen
