"""Format `onnx`: a supervision step as a graph, and the halting loop around it.

The loop is put together here rather than traced, so that it goes around any form of the step, an
int8 one too. Needs the extra `deploy`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trm.deployment.graphs import SupervisionStep, example, exported_step
from trm.errors import UserError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

OPSET = 20
_NEXT = "_next"
"""What stands behind the name of what is carried on."""
_SAID = ("answers", "chance", "stops")


def require_deploy(wanted: str = "--format onnx") -> None:
    """
    Args:
        wanted: what the user asked for.

    Raises:
        UserError: the packages that write and run ONNX are not there.
    """
    for package in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(package) is None:
            raise UserError(
                f"{wanted}: {package} is not installed: pip install 'trm-search[deploy]'"
            )


def step_model(step: SupervisionStep, seq_len: int) -> ModelProto:
    """A step, its names those of `SupervisionStep.forward`; what is carried on ends in `_next`."""
    import torch

    given = example(step, seq_len)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It speaks of packages for pictures, which no model here needs.
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            exported_step(step, seq_len),
            (),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[*given],
            output_names=[*_SAID, *(f"{name}{_NEXT}" for name in step.carried)],
        )
    assert program is not None
    model: ModelProto = program.model_proto
    _merge_equal(model.graph)
    _name_rows(model.graph)
    forget_origin(model)
    return model


def _merge_equal(graph: GraphProto) -> None:
    """One initialiser in place of equal ones: each use of a weight has its own transposed copy."""
    from onnx import numpy_helper

    first: dict[tuple[Any, ...], str] = {}
    names: dict[str, str] = {}
    kept = []
    for one in graph.initializer:
        content = numpy_helper.to_array(one).tobytes()
        names[one.name] = first.setdefault((one.data_type, *one.dims, content), one.name)
        if names[one.name] == one.name:
            kept.append(one)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def forget_origin(model: ModelProto) -> None:
    """Take out what those who made a graph note in it: lines of code and paths of this machine."""
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        one.doc_string = ""
        del one.metadata_props[:]
    del graph.value_info[:]


def _name_rows(graph: GraphProto) -> None:
    """Call the number of rows `batch` wherever it stands."""
    symbol = next(i for i in graph.input if i.name == "inputs").type.tensor_type.shape.dim[0]
    old = symbol.dim_param
    for value in (*graph.input, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == old:
                dim.dim_param = "batch"


def loop_model(step: ModelProto) -> ModelProto:
    """The loop around a step: the arguments and results of `trm.deployment.graphs.Think`, by name.

    Results are `answers`, `chance` and `taken`.
    What of the step depends on weights alone is computed once, before the loop.
    """
    from onnx import TensorProto, helper

    graph = step.graph
    carried = [o.name.removesuffix(_NEXT) for o in graph.output if o.name not in _SAID]
    types = {value.name: value.type.tensor_type for value in graph.input}
    inputs = types["inputs"]
    seq_len = inputs.shape.dim[1].dim_value
    before, within = _split(graph)
    within = [_copy(node) for node in within]
    for node in within:
        # Names of a loop's body must not be those of the graph around it.
        node.input[:] = [_within(name) for name in node.input]
        node.output[:] = [_within(name) for name in node.output]

    def value(name: str, kind: int, shape: Iterable[Any]) -> Any:
        return helper.make_tensor_value_info(name, kind, [*shape])

    def number(name: str, kind: int, content: list[float]) -> Any:
        return helper.make_tensor(name, kind, [len(content)], content)

    constants = [
        number("loop_one", TensorProto.INT64, [1]),
        number("loop_seq", TensorProto.INT64, [seq_len]),
    ]
    head = [
        helper.make_node("Shape", ["inputs"], ["loop_rows"], start=0, end=1),
        helper.make_node("Concat", ["loop_rows", "loop_seq"], ["loop_cells"], axis=0),
        _filled("loop_cells", "answers_begin", TensorProto.INT64),
        _filled("loop_rows", "chance_begin", TensorProto.FLOAT),
        _filled("loop_rows", "taken_begin", TensorProto.INT64),
        _filled("loop_rows", "done_begin", TensorProto.BOOL),
    ]
    for name in carried:
        rest = [dim.dim_value for dim in types[name].shape.dim][1:]
        constants.append(number(f"{name}_rest", TensorProto.INT64, [*rest]))
        shape = ["loop_rows", f"{name}_rest"]
        head.append(helper.make_node("Concat", shape, [f"{name}_shape"], axis=0))
        head.append(_filled(f"{name}_shape", f"{name}_begin", types[name].elem_type))
    no_axis = {"keepdims": 0}
    body_nodes = [
        helper.make_node("Reshape", ["loop_number", "loop_none"], ["loop_at"]),
        helper.make_node("Add", ["loop_at", "loop_step_one"], ["step"]),
        *within,
        helper.make_node("Unsqueeze", ["done_in", "loop_one"], ["done_cells"]),
        helper.make_node("Where", ["done_cells", "answers_in", "step_answers"], ["answers_out"]),
        helper.make_node("Where", ["done_in", "chance_in", "step_chance"], ["chance_out"]),
        helper.make_node("Where", ["done_in", "taken_in", "step"], ["taken_out"]),
        helper.make_node("Or", ["done_in", "step_stops"], ["done_out"]),
        helper.make_node("Cast", ["done_out"], ["done_number"], to=TensorProto.INT32),
        helper.make_node("ReduceMin", ["done_number"], ["done_least"], **no_axis),
        helper.make_node("Cast", ["done_least"], ["done_all"], to=TensorProto.BOOL),
        helper.make_node("Not", ["done_all"], ["loop_on_next"]),
    ]
    constants += [
        helper.make_tensor("loop_none", TensorProto.INT64, [0], []),
        helper.make_tensor("loop_step_one", TensorProto.INT64, [], [1]),
    ]
    state = {
        "answers": (TensorProto.INT64, ["batch", seq_len]),
        "chance": (TensorProto.FLOAT, ["batch"]),
        "taken": (TensorProto.INT64, ["batch"]),
        "done": (TensorProto.BOOL, ["batch"]),
    }
    zs = {
        name: (types[name].elem_type, ["batch", *(d.dim_value for d in types[name].shape.dim[1:])])
        for name in carried
    }
    body = helper.make_graph(
        body_nodes,
        "supervision_step",
        [
            value("loop_number", TensorProto.INT64, []),
            value("loop_on", TensorProto.BOOL, []),
            *(value(f"{name}_in", *of) for name, of in state.items()),
            *(value(name, *of) for name, of in zs.items()),
        ],
        [
            value("loop_on_next", TensorProto.BOOL, []),
            *(value(f"{name}_out", *of) for name, of in state.items()),
            *(value(f"{name}{_NEXT}", *of) for name, of in zs.items()),
        ],
    )
    begun = [f"{name}_begin" for name in (*state, *zs)]
    ended = ["answers", "chance", "taken", "done_end", *(f"{name}_end" for name in zs)]
    whole = helper.make_graph(
        [
            *before,
            *head,
            helper.make_node("Loop", ["steps", "", *begun], ended, body=body),
        ],
        "think",
        [
            value("inputs", TensorProto.INT64, ["batch", seq_len]),
            value("puzzle_identifiers", TensorProto.INT64, ["batch"]),
            value("steps", TensorProto.INT64, []),
            value("threshold", TensorProto.FLOAT, []),
        ],
        [value(name, *state[name]) for name in ("answers", "chance", "taken")],
        [*graph.initializer, *constants],
    )
    found: ModelProto = helper.make_model(
        whole,
        opset_imports=step.opset_import,
        ir_version=step.ir_version,
        producer_name="trm-search",
    )
    return found


def _copy(node: NodeProto) -> NodeProto:
    found = type(node)()
    found.CopyFrom(node)
    return found


def _within(name: str) -> str:
    return f"step_{name}" if name in _SAID else name


def _filled(shape: str, name: str, kind: int) -> NodeProto:
    from onnx import helper

    zero = helper.make_tensor("", kind, [1], [0])
    node: NodeProto = helper.make_node("ConstantOfShape", [shape], [name], value=zero)
    return node


def _split(graph: GraphProto) -> tuple[list[NodeProto], list[NodeProto]]:
    """The nodes that depend on weights alone, and the others, both in their order."""
    known = {one.name for one in graph.initializer} | {""}
    before, within = [], []
    for node in graph.node:
        if all(name in known for name in node.input):
            before.append(node)
            known.update(node.output)
        else:
            within.append(node)
    return before, within
