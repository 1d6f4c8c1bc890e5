"""A space's candidates as points in which distance means difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from search.space.distributions import Choice, Distribution, Range
from search.space.space import Draw, Space

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MOST_VALUES = 4096
"""Values of a stepped range up to which a share is moved to the nearest of them."""


class Encoding:
    """Between draws of a space, rows of shares and points.

    A row of *shares* `[parameters]` has a value for every parameter, whether its condition holds
    or not: a range's position in [0, 1] on its own scale, a choice's option by number. So any row
    is a candidate, and rows can be mutated freely.

    A *point* `[columns]` is what a kernel sees of a row: a range is one column, the middle where
    the parameter is absent; a choice is a column for each option, with squared distance 1 between
    any two options, and 1/2 to an absent choice.

    Attributes:
        space: of the candidates.
        parameters: those with more than one value.
        owner: which parameter each column belongs to, `[columns]`.

    >>> encoding = Encoding(Space.parse({"x": {"uniform": [0, 2]}, "y": {"choice": ["a", "b"]}}))
    >>> encoding.shares({"x": 0.5, "y": "b"})
    array([0.25, 1.  ])
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.parameters: list[Distribution] = [
            found for group in space.groups.values() for found in group
        ]
        index = {found.name: place for place, found in enumerate(self.parameters)}
        self._needs: list[list[tuple[int, int]]] = [
            [
                (index[choice], self._options(index[choice]).index(option))
                for choice, option in found.condition
                if choice in index
            ]
            for found in self.parameters
        ]
        widths = [self._width(found) for found in self.parameters]
        self.owner: IntArray = np.repeat(np.arange(len(widths)), widths)
        self._grids = [self._grid(found) for found in self.parameters]

    def shares(self, params: Mapping[str, Any]) -> FloatArray:
        """A candidate's parameters as shares; absent ones in the middle, or the first option."""
        row = np.zeros(len(self.parameters))
        for place, found in enumerate(self.parameters):
            value = params.get(found.name)
            if isinstance(found, Choice):
                row[place] = 0 if value is None else found.options.index(value)
            else:
                row[place] = 0.5 if value is None else found.position(value)
        return row

    def draw(self, row: FloatArray) -> Draw:
        """The candidate that a row of shares stands for."""
        values = self.values(row)

        def suggest(name: str, found: Distribution) -> Any:
            return values[name] if name in values else found.first()

        return self.space.draw(suggest)

    def values(self, row: FloatArray) -> dict[str, Any]:
        """The value of every parameter in a row of shares, whether its condition holds or not."""
        return {
            found.name: found.options[int(share)] if isinstance(found, Choice) else found.at(share)
            for found, share in zip(self.parameters, map(float, row), strict=True)
        }

    def active(self, rows: FloatArray) -> npt.NDArray[np.bool_]:
        """Which parameters exist in each row of shares, `[rows, parameters]`."""
        found = np.ones(rows.shape, dtype=bool)
        for place, needs in enumerate(self._needs):
            for choice, option in needs:
                found[:, place] &= (rows[:, choice] == option) & found[:, choice]
        return found

    def points(self, rows: FloatArray) -> FloatArray:
        """Rows of shares `[rows, parameters]` as points `[rows, columns]`."""
        active = self.active(rows)
        points = np.zeros((len(rows), len(self.owner)))
        start = 0
        for place, found in enumerate(self.parameters):
            width, here = self._width(found), active[:, place]
            if isinstance(found, Choice):
                chosen = start + rows[here, place].astype(int)
                points[np.flatnonzero(here), chosen] = np.sqrt(0.5)
            else:
                points[:, start] = np.where(here, rows[:, place], 0.5)
            start += width
        return points

    def random(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Rows of shares, every value of a parameter alike."""
        rows = rng.random((count, len(self.parameters)))
        for place, found in enumerate(self.parameters):
            if isinstance(found, Choice):
                rows[:, place] = rng.integers(len(found.options), size=count)
        return self._snapped(rows)

    def mutated(
        self, rng: np.random.Generator, rows: FloatArray, scale: float, changes: float = 2.0
    ) -> FloatArray:
        """The rows with some parameters changed in each.

        Args:
            scale: standard deviation of a range's change, as a share of it; a tenth of the ranges
                that change are drawn anew.
            changes: how many parameters change in a row on average; one at least.
        """
        count = len(self.parameters)
        anew = self.random(rng, len(rows))
        chosen = rng.random(rows.shape) < min(changes / count, 1.0)
        chosen[np.arange(len(rows)), rng.integers(count, size=len(rows))] = True
        near = np.abs(rows + scale * rng.standard_normal(rows.shape))
        near = np.where(near > 1.0, np.clip(2.0 - near, 0.0, 1.0), near)
        far = rng.random(rows.shape) < 0.1
        far |= np.array([isinstance(found, Choice) for found in self.parameters])
        return self._snapped(np.where(chosen, np.where(far, anew, near), rows))

    def _snapped(self, rows: FloatArray) -> FloatArray:
        for place, grid in enumerate(self._grids):
            if grid is not None:
                middles = (grid[1:] + grid[:-1]) / 2
                rows[:, place] = grid[np.searchsorted(middles, rows[:, place])]
        return rows

    def _options(self, place: int) -> tuple[str, ...]:
        choice = self.parameters[place]
        assert isinstance(choice, Choice), choice
        return choice.options

    @staticmethod
    def _width(found: Distribution) -> int:
        return len(found.options) if isinstance(found, Choice) else 1

    @staticmethod
    def _grid(found: Distribution) -> FloatArray | None:
        """The shares of a stepped range's values; None for other parameters."""
        if not isinstance(found, Range) or found.step is None or found.count > _MOST_VALUES:
            return None
        values = (found.low + step * found.step for step in range(int(found.count)))
        return np.array([found.position(value) for value in values])


def distinct(points: Iterable[FloatArray]) -> set[bytes]:
    """Points as keys, to be looked up in."""
    return {np.round(point, 9).tobytes() for point in points}
