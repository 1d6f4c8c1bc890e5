"""The full state of a training run as named tensors and plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class State:
    """What a stopped run needs to go on bit for bit.

    Attributes:
        weights: the live weights and buffers, by the model's names.
        ema: the averaged weights; empty when EMA is off.
        training: optimiser moments, carry and generator states.
        values: counters, data position and optimiser settings, as JSON values.
    """

    weights: dict[str, Tensor]
    ema: dict[str, Tensor]
    training: dict[str, Tensor]
    values: dict[str, Any]


def flatten(tree: Any, path: str = "") -> tuple[dict[str, Tensor], Any]:
    """Split a tree of dicts and lists into its tensors by path, and the rest as JSON values.

    Every node says what it is (`tensor`, `items`, `list`, `tuple`, `value`); a mapping is a list of
    pairs, since JSON would turn its integer keys into text.
    """
    if isinstance(tree, Tensor):
        return {path: tree}, {"tensor": path}
    if isinstance(tree, Mapping):
        items = [
            (key, flatten(value, f"{path}/{key}" if path else str(key)))
            for key, value in tree.items()
        ]
        tensors = {name: t for _, (part, _) in items for name, t in part.items()}
        return tensors, {"items": [[key, rest] for key, (_, rest) in items]}
    if isinstance(tree, list | tuple):
        parts = [flatten(value, f"{path}/{index}") for index, value in enumerate(tree)]
        tensors = {name: t for part, _ in parts for name, t in part.items()}
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return tensors, {kind: [rest for _, rest in parts]}
    assert tree is None or isinstance(tree, bool | int | float | str), (path, type(tree))
    return {}, {"value": tree}


def unflatten(tensors: Mapping[str, Tensor], rest: Any) -> Any:
    """The tree that `flatten` split."""
    ((kind, content),) = rest.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "items":
        return {key: unflatten(tensors, value) for key, value in content}
    if kind == "list":
        return [unflatten(tensors, value) for value in content]
    if kind == "tuple":
        return tuple(unflatten(tensors, value) for value in content)
    assert kind == "value", kind
    return content


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached CPU copies that own their memory, as safetensors wants them."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }
