"""Drawn tasks whose difficulty runs over one range that is trained and another beyond it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import model_validator

from trm.tasks.drawn import DrawnConfig


class RangedConfig(DrawnConfig):
    """The difficulty is a pair of the config, least and most; `beyond` is the most beyond it."""

    ranged: ClassVar[str]
    """The key of the pair."""

    if TYPE_CHECKING:  # a key of each task, between the others in its order
        beyond: int | None

    @model_validator(mode="after")
    def _in_bounds(self) -> RangedConfig:
        assert self.further is not None
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and most that any difficulty may be."""
        raise NotImplementedError(self.name)

    @property
    def trained(self) -> range:
        return least_and_most(self.ranged, getattr(self, self.ranged), *self.bounds)

    @property
    def further(self) -> range:
        return up_to(self.beyond, self.trained, self.bounds[1])


def least_and_most(key: str, pair: list[int], least: int, most: int) -> range:
    """The numbers that a pair `[low, high]` of the config means.

    Raises:
        ValueError: they are no such pair, or leave the bounds.
    """
    low, high = pair
    if not least <= low <= high <= most:
        raise ValueError(f"{key} {pair} must be [low, high] with {least} <= low <= high <= {most}")
    return range(low, high + 1)


def up_to(beyond: int | None, trained: range, most: int) -> range:
    """The difficulties after the trained ones, up to `beyond`.

    Raises:
        ValueError: there are none, or they leave the bounds.
    """
    if beyond is None:
        return range(0)
    if not trained[-1] < beyond <= most:
        raise ValueError(
            f"beyond {beyond} must be more than {trained[-1]}, the most that is trained, and at "
            f"most {most}; null makes no such set"
        )
    return range(trained[-1] + 1, beyond + 1)
