"""The space language: any leaf of the config tree may be a distribution.

A distribution is a mapping with exactly one key, one of five words:

    {uniform: [lo, hi]}   {loguniform: [lo, hi]}   {int: [lo, hi]}   {logint: [lo, hi]}
    {loguniform: {low: 1e-5, high: 1e-2, default: 1e-4}}       # `step` for uniform and int
    {choice: [a, b]}      {choice: {options: [a, b], default: b}}

Beside a `default` the long forms take its `confidence`, a prior (see `search.space.distributions`).

An option of a choice may be a mapping or a list that holds further distributions; they exist only
when it is drawn. An option that is a mapping is named by its `label`, else by its `name`; the label
does not appear in the drawn tree. An option may itself be a distribution if it has a label
(`{label: some, uniform: [0.1, 0.3]}`). All other options are named by their text as JSON, strings
without quotes.

A parameter's name is its path: keys are joined by dots, and brackets after a path hold either
the option of the choice that stands there or the index in the list that stands there:
`optimizer`, `optimizer[muon].lr`, `curriculum.depth.stages[0].at`. A path leads to a choice or to a
list, never to both, so two parameters never share a name (keys that hold dots or brackets could
make them; that is refused).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from curricula.component import nearest
from search.space.distributions import Choice, Condition, Distribution
from search.space.nodes import (
    FIXED_SECTIONS,
    _refuse_distributions,
    node_order,
    node_size,
    parse_node,
    resolve_node,
)
from trm.errors import UserError

Params = dict[str, Any]
Tree = dict[str, Any]
Draw = tuple[Params, Tree]
"""The active parameters' values by name (an option by its name), and the tree they make."""


@dataclass(frozen=True)
class Space:
    """A config tree with distributions in it.

    >>> space = Space.parse({"optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}}, "seed": 3})
    >>> space.default()
    ({'optimizer.lr': 0.001}, {'optimizer': {'lr': 0.001}, 'seed': 3})

    Attributes:
        parameters: every parameter by name, conditional ones too, in the order of drawing.
        root: the tree as a node.
    """

    parameters: Mapping[str, Distribution]
    root: Mapping[str, Any]

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> Space:
        """Read the distributions of a config tree; the tree itself is left alone.

        Raises:
            UserError: a distribution that makes no sense or stands where none may; names its path.
        """
        found: dict[str, Distribution] = {}
        root: dict[str, Any] = {}
        for key, value in tree.items():
            if key in FIXED_SECTIONS:
                _refuse_distributions(value, str(key))
                root[key] = deepcopy(value)
            else:
                root[key] = parse_node(value, str(key), (), found)
        ordered: dict[str, Distribution] = {}
        for name in node_order(root):
            ordered[name] = found[name]
        return cls(ordered, root)

    @property
    def searches(self) -> bool:
        """Whether any parameter has more than one value."""
        return any(distribution.count > 1 for distribution in self.parameters.values())

    @property
    def as_written(self) -> list[str]:
        """The names of the parameters in the order of the file."""
        return [*node_order(self.root, as_written=True)]

    @property
    def size(self) -> float:
        """How many different trees can be drawn; infinite if any range is continuous."""
        return node_size(self.root)

    @property
    def has_prior(self) -> bool:
        """Whether any parameter has a prior other than that all values are alike."""
        return any(distribution.confidence is not None for distribution in self.parameters.values())

    @cached_property
    def groups(self) -> dict[Condition, list[Distribution]]:
        """The parameters that have more than one value, by what they need to exist.

        Those of one group are in a draw together or not at all.
        """
        found: dict[Condition, list[Distribution]] = {}
        for distribution in self.parameters.values():
            if distribution.count > 1:
                found.setdefault(distribution.condition, []).append(distribution)
        return found

    def require_searchable(self) -> None:
        """
        Raises:
            UserError: no parameter has more than one value.
        """
        if not self.searches:
            raise UserError(
                "nothing to search: give at least one key outside "
                f"{', '.join(FIXED_SECTIONS[:6])} a range, as in "
                "`optimizer: {lr: {loguniform: [1e-4, 1e-2]}}`"
            )

    def draw(self, suggest: Callable[[str, Distribution], Any]) -> Draw:
        """Ask `suggest` for each active parameter, by sorted key, and build the tree.

        The order depends on the keys alone, not on their order in the file.
        """
        params: Params = {}

        def value(distribution: Distribution) -> Any:
            given = suggest(distribution.name, distribution)
            assert distribution.contains(given), (distribution, given)
            params[distribution.name] = distribution.cast(given)
            return params[distribution.name]

        tree = resolve_node(self.root, value)
        assert isinstance(tree, dict)
        return params, tree

    def default(self) -> Draw:
        """Every parameter at its default, else at the first option or the middle of the range.

        The middle is geometric on log scales, and rounded to an allowed value.
        """
        return self.draw(lambda _, distribution: distribution.first())

    def sample(self, rng: np.random.Generator) -> Draw:
        """An independent draw from each prior; without one, uniform on the parameter's scale."""
        return self.draw(lambda _, distribution: distribution.sample(rng))

    def apply(self, params: Mapping[str, Any]) -> Tree:
        """The tree that stored parameters make.

        Raises:
            UserError: a parameter is missing, has a value outside its distribution, or does not
                exist in the tree that the others make.
        """

        def suggest(name: str, distribution: Distribution) -> Any:
            if name not in params:
                raise UserError(name, remedy="has no value: give one within " + distribution.text())
            if not distribution.contains(params[name]):
                raise UserError(name, params[name], f"is outside {distribution.text()}")
            return params[name]

        used, tree = self.draw(suggest)
        for name in params:
            if name not in used:
                reason = (
                    "does not exist under the options that the other parameters choose"
                    if name in self.parameters
                    else f"is no parameter of this space: {nearest(name, [*self.parameters])}"
                )
                raise UserError(name, params[name], reason)
        return tree

    def refused(
        self, check: Callable[[Tree], object], rng: np.random.Generator, draws: int = 20
    ) -> Iterator[tuple[str, ValueError]]:
        """The options and bounds that `check` refuses whatever else is drawn, and its complaint.

        `check` raises ValueError. A rule across parameters may refuse a value at the others'
        defaults; only one that `draws` random draws of the others do not rescue is yielded.
        """
        for where, forced, probe in self._probes():
            try:
                check(probe)
            except ValueError as error:
                trees = (self._forced(forced, rng)[1] for _ in range(draws))
                if not any(_passes(check, tree) for tree in trees):
                    yield where, error

    def infeasible_share(
        self, check: Callable[[Tree], object], rng: np.random.Generator, draws: int = 200
    ) -> float:
        """The share of random draws that `check` refuses by raising ValueError."""
        return sum(not _passes(check, self.sample(rng)[1]) for _ in range(draws)) / draws

    @property
    def size_text(self) -> str:
        """The size of the space in words.

        >>> Space.parse({"model": {"H_cycles": {"int": [1, 3]}}}).size_text
        '1 parameter, 3 configs'
        """
        count = len(self.parameters)
        conditional = sum(bool(d.condition) for d in self.parameters.values())
        words = f"{count} parameter{'' if count == 1 else 's'}"
        if conditional:
            words += f" ({conditional} conditional)"
        if math.isfinite(self.size):
            size = f"{self.size:,.0f}" if self.size < 1e15 else f"about {self.size:.0e}"
            words += f", {size} config{'' if self.size == 1 else 's'}"
        return words

    def describe(self) -> list[tuple[str, str, str, str]]:
        """A row a parameter: name, distribution, default, and the condition (empty if none)."""
        return [
            (
                name,
                distribution.text(),
                str(distribution.first()),
                " and ".join(f"{choice} = {option}" for choice, option in distribution.condition),
            )
            for name, distribution in self.parameters.items()
        ]

    def _probes(self) -> Iterator[tuple[str, Params, Tree]]:
        """Every option and bound: what it is, the parameters it fixes, and the rest at default."""
        for name, distribution in self.parameters.items():
            values: Iterable[Any] = (
                distribution.options
                if isinstance(distribution, Choice)
                else dict.fromkeys((distribution.low, distribution.high))
            )
            for value in values:
                forced = {**dict(distribution.condition), name: value}
                yield f"{name} = {distribution.cast(value)}", forced, self._forced(forced)[1]

    def _forced(self, forced: Params, rng: np.random.Generator | None = None) -> Draw:
        """A draw with some parameters fixed, the rest at random or, without `rng`, at default."""
        return self.draw(
            lambda name, d: (
                forced[name] if name in forced else d.at(rng.random()) if rng else d.first()
            )
        )


def _passes(check: Callable[[Tree], object], tree: Tree) -> bool:
    try:
        check(tree)
    except ValueError:
        return False
    return True
