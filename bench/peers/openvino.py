"""OpenVINO, CPU plug-in, latency hint, f32 arithmetic as in the models."""

import openvino


def version():
    return openvino.__version__.split("-")[0]


class Session:
    def __init__(self, model, threads, work):
        self.model = openvino.Core().compile_model(
            str(model),
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
                # By default it rounds activations to int8 where weights are int8: an error of 5e-2.
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            },
        )
        self.request = self.model.create_infer_request()

    def bind(self, feeds):
        self.request.set_tensors({k: openvino.Tensor(v) for k, v in feeds.items()})

    def run(self):
        self.request.infer()
        return [self.request.get_output_tensor(i).data for i in range(len(self.model.outputs))]
