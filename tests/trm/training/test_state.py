from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trm.learning.optimizers import AdamAtan2
from trm.training.state import contiguous, flatten, unflatten

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(
    LEAVES | st.just(torch.arange(3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 9) | st.text(alphabet="ab", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(TREES)
def test_a_tree_survives_flattening_and_json(tree: Any) -> None:
    tensors, rest = flatten(tree)
    assert same(unflatten(tensors, json.loads(json.dumps(rest))), tree)


def test_keys_that_look_alike_stay_apart() -> None:
    tree = {1: torch.zeros(1), 2: {"x": torch.ones(1)}, "p": [torch.ones(2), {"q": (1, 2.5)}]}
    tensors, rest = flatten(tree)
    assert sorted(tensors) == ["1", "2/x", "p/0"]
    assert same(unflatten(tensors, rest), tree)


@pytest.mark.parametrize("kind", ["adamw", "adam_atan2"])
def test_an_optimisers_state_survives(kind: str) -> None:
    weight = nn.Parameter(torch.ones(3))
    make: Any = torch.optim.AdamW if kind == "adamw" else AdamAtan2
    optimizer = make([weight], lr=1e-3, betas=(0.9, 0.95))
    weight.grad = torch.tensor([1.0, -2.0, 3.0])
    optimizer.step()
    tensors, rest = flatten(optimizer.state_dict())
    assert same(unflatten(tensors, json.loads(json.dumps(rest))), optimizer.state_dict())


def test_what_json_cannot_hold_is_an_error_of_ours() -> None:
    with pytest.raises(AssertionError):
        flatten({"a": object()})


def test_contiguous_copies_own_their_memory() -> None:
    weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    copies = contiguous({"t": weight.T, "e": weight[:1].expand(4, 3)})
    assert all(copy.is_contiguous() and not copy.requires_grad for copy in copies.values())
    with torch.no_grad():
        weight.zero_()
    assert torch.equal(copies["t"], torch.arange(6.0).reshape(2, 3).T)
    assert copies["e"].untyped_storage().nbytes() == 48
