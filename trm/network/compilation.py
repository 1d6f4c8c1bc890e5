"""One level of the recursion as a compiled graph: what `train.compile` turns on.

Only the pass through the layers is compiled. It knows nothing of cycles, supervision steps or
losses, so a change of depth, another trial of the same sizes and evaluation find their graphs
already there. `torch._dynamo` takes seconds to import: nothing of it is touched before it is
needed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from trm.errors import UserError
from trm.network.model import TRM

Backend = str | Callable[..., Any]

BACKEND: Backend = "inductor"

GRAPH_LIMIT = 4096
"""Graphs that one process may hold.

Each combination of sizes, number type, rows of a batch and CPU threads takes one with gradients
and one without. Dynamo's own limit, 8, is too low for a worker that runs one trial after another.
"""

_REMEDY = "set train.compile: false"


def compile_recursion(model: TRM) -> None:
    """Make a model run its layers as a compiled graph, from its next forward pass on.

    Parameters and buffers keep their names. Graphs are shared by all models of a process.

    Raises:
        UserError: there is nothing here to compile with.
    """
    if BACKEND == "inductor":
        require_compiler(model.H_init.device.type)
    model.compiled = _through_layers


def require_compiler(device_type: str) -> None:
    """
    Raises:
        UserError: what inductor compiles with on such a device is not installed.
    """
    if device_type == "cuda":
        if find_spec("triton") is None:
            raise UserError(
                "train.compile", True, f"needs triton on CUDA devices: install it, or {_REMEDY}"
            )
        return
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        raise UserError(
            "train.compile",
            True,
            f"needs a C++ compiler, and {name!r} is not there: install it, name another in the "
            f"environment variable CXX, or {_REMEDY}",
        )


@cache
def _compiled(backend: Backend) -> Callable[[TRM, Tensor, bool], Tensor]:
    from torch._dynamo import config

    # `fullgraph`: past the limit Dynamo raises instead of going on uncompiled without a word.
    # Not `dynamic`: a graph for all sizes rounds otherwise than one for a single size, and which
    # of them a trial gets would depend on what its process ran before.
    compiled = torch.compile(TRM.through_layers, fullgraph=True, dynamic=False, backend=backend)
    # Dynamo reads its limits in the call that compiles; its other users keep theirs.
    limits = config.patch(recompile_limit=GRAPH_LIMIT, accumulated_recompile_limit=GRAPH_LIMIT)
    return limits(compiled)  # type: ignore[no-any-return]


def _through_layers(model: TRM, h: Tensor, answer: bool) -> Tensor:
    from torch._dynamo import exc

    try:
        # A graph holds for one layout, and a state read from a checkpoint is contiguous where the
        # one that was saved need not be.
        return _compiled(BACKEND)(model, h.contiguous(), answer)
    except exc.FailOnRecompileLimitHit as error:
        raise UserError(
            "train.compile", True, f"has made {GRAPH_LIMIT} graphs in one process: {_REMEDY}"
        ) from error
    except exc.BackendCompilerFailed as error:
        said = str(error).partition("Set TORCHDYNAMO_VERBOSE")[0]
        reason = " ".join(said.split())[:200]
        raise UserError("train.compile", True, f"failed ({reason}): {_REMEDY}") from error
