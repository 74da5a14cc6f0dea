"""ONNX Runtime, CPU provider, its default optimisation level (all)."""

import onnxruntime


def version():
    return onnxruntime.__version__


class Session:
    def __init__(self, model, threads, work):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning stays on, its default and fastest setting: threads spin through back-to-back runs
        # and have gone to sleep after the pause that the driver makes between peers.
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )

    def bind(self, feeds):
        self.feeds = feeds

    def run(self):
        return self.session.run(None, self.feeds)
