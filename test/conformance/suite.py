"""The backend test cases that ship inside the `onnx` package, in memory.

Families are what counts are kept by: the folders of the suite, with the node cases of attention and
its relatives as a family of their own.
"""

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import DATA_DIR, load_model_tests
from onnx.backend.test.runner import Runner

FOLDERS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
FAMILIES = ("attention", *FOLDERS)
ATTENTION = re.compile(
    "test_(attention|flexattention|linear_attention|causal_conv_with_state|rotary_embedding"
    "|rms_normalization)(_|$)"
)


# Elements that are 0 but for rounding: the error of a transform in f32, the suite's own too, is
# relative to its largest element (54 in the inverse ones, 945 in the other), not to each.
NOISE = {"test_dft_axis": 2e-5, "test_dft_inverse": 1e-5, "test_dft_inverse_opset19": 1e-5}


@dataclass
class Case:
    name: str
    family: str
    rtol: float
    atol: float
    source: object = field(repr=False)  # of onnx.backend.test

    def model(self):
        if self.source.model is not None:
            return self.source.model
        if self.source.model_dir:
            return onnx.load(Path(self.source.model_dir, "model.onnx"))
        return onnx.load(self._light())

    def data_sets(self, model):
        """Pairs of inputs and expected outputs, in the order of the model's."""
        infos = inputs_of(model)
        if self.source.data_sets is not None:
            return [tuple([_plain(v) for v in side] for side in s) for s in self.source.data_sets]
        if self.source.model_dir:
            folders = sorted(Path(self.source.model_dir).glob("test_data_set_*"))
            return [
                (_read(folder, "input", infos), _read(folder, "output", model.graph.output))
                for folder in folders
            ]
        feeds = [Runner.generate_dummy_data(v, name=self.source.model_name) for v in infos]
        names = [f"{self._light().stem}_output_{i}.pb" for i in range(len(model.graph.output))]
        outputs = zip(names, model.graph.output)
        return [(feeds, [_value(self._light().with_name(n), v.type) for n, v in outputs])]

    def _light(self):
        """Large models come with an operator in place of their weights."""
        return Path(DATA_DIR, "light", Path(self.source.url).name)


def inputs_of(model):
    """The inputs that a caller gives; old models list their weights too."""
    weights = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights]


def _plain(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _read(folder, word, infos):
    count = len(list(folder.glob(f"{word}_*.pb")))
    return [_value(folder / f"{word}_{i}.pb", infos[i].type) for i in range(count)]


def _value(path, type_proto):
    kind = type_proto.WhichOneof("value")
    proto, convert = {
        "sequence_type": (onnx.SequenceProto, numpy_helper.to_list),
        "optional_type": (onnx.OptionalProto, numpy_helper.to_optional),
    }.get(kind, (onnx.TensorProto, numpy_helper.to_array))
    return convert(proto.FromString(path.read_bytes()))


def load():
    """Every case; takes some seconds, as the node cases are computed."""
    cases = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for folder in FOLDERS:
            for source in load_model_tests(kind=folder):
                attention = folder == "node" and ATTENTION.match(source.name)
                family = "attention" if attention else folder
                atol = NOISE.get(source.name, source.atol)
                cases.append(Case(source.name, family, source.rtol, atol, source))
    return cases
