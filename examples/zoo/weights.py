"""Graphs without their weights, small enough to keep: `bench/attention` fills numbers in again.

A weight is left without data, and its comment says how the values are spread. What is not a
parameter of the module (positions, masks, what the exporter computed) stays.
"""

import numpy as np
from onnx import numpy_helper


def strip(model, module, above=64):
    """Drops the data of parameters with more than so many elements, transposed or not."""
    known = set()
    for parameter in module.parameters():
        array = parameter.detach().numpy()
        known.add(array.tobytes())
        if array.ndim == 2:
            known.add(np.ascontiguousarray(array.T).tobytes())
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size > above and array.tobytes() in known:
            tensor.ClearField("raw_data")
            tensor.doc_string = f"normal {array.mean():.6g} {array.std():.6g}"
    return model
