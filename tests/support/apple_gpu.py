"""A stand-in for an Apple GPU: tensors on "mps" are computed on the CPU, as the real ones behave.

What it holds to, from torch's own messages: no tensor on the device is float64, also in a backward
pass; devices do not mix, but for single numbers; NumPy sees none of its memory. Beyond that,
nothing may draw random numbers there: a checkpoint would not have its generator's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

MPS, CPU = torch.device("mps"), torch.device("cpu")
NAME = "Imaginary M9"
_NO_FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)
_RANDOM = ("bernoulli", "dropout", "exponential", "multinomial", "normal", "rand", "uniform")
_MOVES = ("to", "copy_", "cpu", "__set__", "_has_compatible_shallow_copy_type")


def on_mps(tensor: Any) -> bool:
    """Whether a tensor is on the imaginary device."""
    return isinstance(tensor, Tensor) and getattr(tensor, "on_mps", False)


def _marked(value: Any) -> Any:
    def mark(one: Any) -> Any:
        if isinstance(one, Tensor):
            if one.dtype == torch.float64:
                raise TypeError(_NO_FLOAT64)
            one.on_mps = True  # type: ignore[attr-defined]
        return one

    return tree_map(mark, value)


class _Kernels(TorchDispatchMode):
    """What every kernel of a device call gives, those of a backward pass included."""

    def __init__(self) -> None:
        super().__init__()
        self.on_device = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.on_device:
            if any(t.dtype == torch.float64 for t in tree_flatten(out)[0] if isinstance(t, Tensor)):
                raise TypeError(_NO_FLOAT64)
            name = func._schema.name.removeprefix("aten::")
            assert not any(word in name for word in _RANDOM), f"{name} draws on the device"
        return out


class AppleGPU(TorchFunctionMode):
    """While it is entered, `mps` is a device; `calls` counts the functions that ran on it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = _Kernels()
        self.calls = 0

    def __enter__(self) -> AppleGPU:
        self.kernels.__enter__()
        return super().__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.kernels.__exit__(*error)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.device or getattr(func, "__name__", "") == "_parse_to":
            return func(*args, **kwargs)
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return torch.device("mps", 0) if on_mps(args[0]) else func(*args)
        if func == Tensor.is_mps.__get__:  # type: ignore[attr-defined]
            return on_mps(args[0])
        name = getattr(func, "__name__", "")
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        touches = any(map(on_mps, given))
        target = _target(name, args, kwargs)
        if touches and name == "numpy":
            raise TypeError("can't convert mps:0 device type tensor to numpy.")
        if touches and name not in _MOVES and any(t.dim() and not on_mps(t) for t in given):
            raise RuntimeError(
                f"Expected all tensors to be on the same device, but found at least two devices, "
                f"mps:0 and cpu! ({name})"
            )
        there = target == "mps" or (touches and target is None)
        args, kwargs = tree_map(_without_mps, (args, kwargs))
        before, self.kernels.on_device = self.kernels.on_device, there
        self.calls += there
        try:
            out = func(*args, **kwargs)
        finally:
            self.kernels.on_device = before
        if name == "copy_":  # the destination stays where it is
            return out
        if name == "__set__" and len(args) == 2 and isinstance(args[1], Tensor):
            args[0].on_mps = on_mps(args[1])
            return out
        if target is not None and any(out is one for one in given) and there != on_mps(out):
            out = out.clone()
        return _marked(out) if there else out


def _target(name: str, args: Any, kwargs: Any) -> str | None:
    """The device that a call names, by its type; None where it names none."""
    if name == "cpu":
        return "cpu"
    if name == "to" and len(args) > 1 and isinstance(args[1], Tensor):
        return "mps" if on_mps(args[1]) else "cpu"
    for value in (*args, kwargs.get("device")):
        if isinstance(value, torch.device):
            return value.type
        if isinstance(value, str) and value.split(":")[0] in ("cpu", "mps"):
            return value.split(":")[0]
    return None


def _without_mps(value: Any) -> Any:
    is_mps = (isinstance(value, torch.device) and value.type == "mps") or (
        isinstance(value, str) and value in ("mps", "mps:0")
    )
    return CPU if is_mps else value


_plain_parameter = torch.nn.Parameter.__new__


def _parameter(kind: Any, data: Any = None, requires_grad: bool = True) -> Any:
    """No torch function: a mode does not see it."""
    parameter = _plain_parameter(kind, data, requires_grad)
    return _marked(parameter) if on_mps(data) else parameter


@contextmanager
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppleGPU]:
    """As if this machine had an Apple GPU, and none of NVIDIA's."""
    with monkeypatch.context() as patch:
        has_apple_gpu(patch)
        patch.setattr(torch.nn.Parameter, "__new__", staticmethod(_parameter))
        with AppleGPU() as device:
            yield device


def has_apple_gpu(patch: pytest.MonkeyPatch) -> None:
    """What torch says on a Mac of the devices that there are; nothing computes on it."""
    patch.setattr(torch.cuda, "is_available", lambda: False)
    patch.setattr(torch.cuda, "device_count", lambda: 0)
    patch.setattr(torch.backends.mps, "is_available", lambda: True)
    patch.setattr(torch.backends.mps, "get_name", lambda: NAME)
    patch.setattr(torch.mps, "empty_cache", lambda: None)
    patch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 << 20)
    patch.setattr(torch.mps, "recommended_max_memory", lambda: 12 << 30)
