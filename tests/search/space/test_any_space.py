"""Properties of any space: what it draws, its defaults and its probes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.space.distributions import Range
from search.space.space import Space

# Random trees: distributions at any depth, in mappings, lists and options.
numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


positive = st.floats(1e-6, 1e6)


def ordered(pair: tuple[Any, Any]) -> list[Any]:
    return sorted(pair)


ranges = st.one_of(
    st.tuples(numbers, numbers).map(lambda p: {"uniform": ordered(p)}),
    st.tuples(positive, positive).map(lambda p: {"loguniform": ordered(p)}),
    st.tuples(st.integers(-50, 50), st.integers(-50, 50)).map(lambda p: {"int": ordered(p)}),
    st.tuples(st.integers(1, 500), st.integers(1, 500)).map(lambda p: {"logint": ordered(p)}),
    st.tuples(st.integers(-9, 9), st.integers(1, 9), st.integers(1, 4)).map(
        lambda p: {"int": {"low": p[0], "high": p[0] + p[1] * p[2], "step": p[1]}}
    ),
    st.tuples(st.integers(-99, 99), st.sampled_from([0.1, 0.25, 0.3]), st.floats(1.01, 9)).map(
        lambda p: {"uniform": {"low": p[0] / 10, "high": p[0] / 10 + p[1] * p[2], "step": p[1]}}
    ),
)


keys = st.sampled_from(["alpha", "beta", "gamma", "delta"])


scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(["x", "y z"]))


def options(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.sampled_from(["label", "name"])
    mappings = st.tuples(st.sampled_from("abcdef"), named, st.dictionaries(keys, children)).map(
        lambda p: {p[1]: p[0], **p[2]}
    )
    return st.lists(
        st.one_of(scalars, mappings),
        min_size=1,
        max_size=4,
        unique_by=lambda o: str(o.get("label", o.get("name"))) if isinstance(o, dict) else repr(o),
    ).map(lambda found: {"choice": found})


nodes = st.recursive(
    st.one_of(scalars, ranges),
    lambda children: st.one_of(
        st.dictionaries(keys, children, max_size=3),
        st.lists(children, max_size=3),
        options(children),
    ),
    max_leaves=12,
)


trees = st.dictionaries(keys, nodes, min_size=1, max_size=4)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=200, deadline=None)
@given(tree=trees, seed=st.integers(0, 2**32 - 1))
def test_any_draw_obeys_its_distributions_and_can_be_made_again(
    tree: dict[str, Any], seed: int
) -> None:
    space = Space.parse(tree)
    params, drawn = space.sample(np.random.default_rng(seed))
    for name, value in params.items():
        distribution = space.parameters[name]
        assert distribution.contains(value)
        if isinstance(distribution, Range):
            assert distribution.low <= value <= distribution.high
            assert isinstance(value, int if distribution.integer else float)
        assert all(params[choice] == option for choice, option in distribution.condition)
    active = {
        name
        for name, d in space.parameters.items()
        if all(params.get(choice) == option for choice, option in d.condition)
    }
    assert active == set(params)
    assert space.apply(params) == drawn
    # A drawn tree is plain: reading it again finds nothing to search, and changes nothing.
    plain = Space.parse(drawn)
    assert not plain.parameters
    assert plain.default() == ({}, drawn)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=100, deadline=None)
@given(tree=trees)
def test_defaults_and_probes_exist_in_any_space(tree: dict[str, Any]) -> None:
    space = Space.parse(tree)
    params, drawn = space.default()
    assert space.apply(params) == drawn
    probes: list[dict[str, Any]] = []
    assert not list(space.refused(probes.append, np.random.default_rng(0)))
    assert len(probes) >= len(space.parameters)
    assert space.size >= 1
    assert space.searches == (space.size > 1)
