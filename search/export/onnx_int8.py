"""Int8 forms of a step: its weights alone, or its weights and what they are multiplied with."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from onnx import ModelProto

Int8 = Literal["weights", "activations"]


def int8_model(step: ModelProto, kind: Int8) -> ModelProto:
    """A step in int8.

    Args:
        kind: `weights` stores the matrices of its products so, a scale for each output, and
            multiplies in float32; `activations` also rounds what they are multiplied with, by a
            scale found for each product as it is computed, and multiplies whole numbers.
    """
    return _weights(step) if kind == "weights" else _activations(step)


def _weights(step: ModelProto) -> ModelProto:
    """Symmetric, w = scale q with q from -127 to 127 and scale = max |w| / 127 of an output."""
    import numpy as np
    from onnx import helper, numpy_helper

    found = type(step)()
    found.CopyFrom(step)
    graph = found.graph
    matrices = {
        node.input[1] for node in graph.node if node.op_type == "MatMul" and len(node.input) == 2
    }
    kept, dequantised = [], []
    for one in graph.initializer:
        if one.name not in matrices or len(one.dims) != 2:
            kept.append(one)
            continue
        weight = numpy_helper.to_array(one)
        scale = (np.abs(weight).max(axis=0) / 127.0).astype(np.float32)
        scale[scale == 0.0] = 1.0
        whole = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        names = [f"{one.name}_int8", f"{one.name}_scale"]
        kept += [
            numpy_helper.from_array(array, name)
            for array, name in zip((whole, scale), names, strict=True)
        ]
        dequantised.append(helper.make_node("DequantizeLinear", names, [one.name], axis=1))
    nodes = [*dequantised, *graph.node]
    del graph.initializer[:]
    del graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    return found


def _activations(step: ModelProto) -> ModelProto:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    from search.export.onnx_format import forget_origin

    ready = type(step)()
    ready.CopyFrom(step)
    # Without this mark it warns, on the root logger, of a step for pictures that is missing.
    add_pre_process_metadata(ready)
    with TemporaryDirectory() as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(ready, before)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        found = onnx.load(after)
    forget_origin(found)
    return found
