"""Distances in mazes, and whether an answer is a shortest path: from the rules alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import Tokens
from trm.tasks.maze.grid import GOAL, OPEN, PATH, START, WALL

Distances = NDArray[np.int32]
UNREACHED = -1


def distances(passable: NDArray[np.bool_], starts: NDArray[np.bool_], size: int) -> Distances:
    """Steps from the nearest start to each cell, `[n, cells]`; -1 where no way leads.

    Breadth first, all mazes at once.

    Args:
        passable: cells that may be walked on, `[n, cells]`.
        starts: where the walks begin, `[n, cells]`.
    """
    count = len(passable)
    grid = (count, size, size)
    free = passable.reshape(grid).copy()
    front = starts.reshape(grid) & free
    found = np.full(grid, UNREACHED, dtype=np.int32)
    step = 0
    while front.any():
        found[front] = step
        free &= ~front
        near = np.zeros(grid, dtype=np.bool_)
        near[:, 1:] |= front[:, :-1]
        near[:, :-1] |= front[:, 1:]
        near[:, :, 1:] |= front[:, :, :-1]
        near[:, :, :-1] |= front[:, :, 1:]
        front = near & free
        step += 1
    return found.reshape(passable.shape)


def lengths(inputs: Tokens, size: int) -> Distances:
    """Steps of each maze's shortest path from start to goal, `[n]`; -1 where there is none."""
    found = distances(inputs != WALL, inputs == START, size)
    return np.asarray(np.where(inputs == GOAL, found, UNREACHED).max(axis=1), dtype=np.int32)


def solved(inputs: Tokens, size: int) -> Tokens:
    """Each maze with a shortest path marked, `[n, cells]`: the first one in reading order.

    A maze whose goal is out of reach is its own answer.
    """
    back = distances(inputs != WALL, inputs == GOAL, size)
    answers = inputs.copy()
    rows = np.flatnonzero(np.where(inputs == START, back, UNREACHED).max(axis=1) > 0)
    cell = (inputs[rows] == START).argmax(axis=1)
    while len(rows):
        left = back[rows, cell]
        best = np.full(len(rows), -1)
        y, x = cell // size, cell % size
        for dy, dx in ((1, 0), (0, 1), (0, -1), (-1, 0)):
            inside = (y + dy >= 0) & (y + dy < size) & (x + dx >= 0) & (x + dx < size)
            there = np.where(inside, (y + dy) * size + x + dx, 0)
            best = np.where(inside & (back[rows, there] == left - 1), there, best)
        on = answers[rows, best] != GOAL
        rows, cell = rows[on], best[on]
        answers[rows, cell] = PATH
    return answers


def is_shortest(inputs: Tokens, answers: Tokens, size: int) -> NDArray[np.bool_]:
    """Whether each answer marks exactly the cells of one shortest path, and changes nothing else.

    A set of `d - 1` marked cells that joins start and goal at their distance `d` is one path: none
    can be left over.
    """
    marked = answers == PATH
    kept = (answers == inputs) | (marked & (inputs == OPEN))
    length = lengths(inputs, size)
    ways = marked | (answers == START) | (answers == GOAL)
    along = distances(ways, answers == START, size)
    reached = np.where(answers == GOAL, along, UNREACHED).max(axis=1)
    right = kept.all(axis=1) & (length > 0) & (reached == length)
    return np.asarray(right & (marked.sum(axis=1) == length - 1))
