"""The other implementation that results are compared with: ONNX Runtime."""

import onnxruntime


def session(model):
    """model: a path or the bytes of a model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(model, feeds):
    return session(model).run(None, feeds)
