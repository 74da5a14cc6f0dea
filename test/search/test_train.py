"""Training candidates: what is trained is what is compiled, with either back end."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import attune_cli
import attune_ctypes
import numpy as np
import onnx
import onnxruntime
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PACKAGE))

from attune.search import numpy_ops, standalone  # noqa: E402
from attune.search.network import Network  # noqa: E402

KINDS = ["softmax", "linear", "cosformer", "local2", "conv"]
SPACE = f"""
attune-space: 1
template: enc_classifier
fixed: {{seq: 7, d: 12, features: 3, classes: 4, heads: 3}}
vars:
  - {{name: layers, kind: int, values: [1, 5]}}
  - {{name: attn, kind: cat, values: [{", ".join(KINDS)}], repeat: layers}}
  - {{name: ffn, kind: int, values: [8, 20], repeat: layers}}
objectives:
  - {{metric: val_acc, goal: max}}
  - {{cost: latency_ms, goal: min, threads: 1}}
strategy: nsga2
budget: {{evals: 6}}
"""
OPTIONS = argparse.Namespace(epochs=6, batch=32, rate=1e-2, warmup=5, decay=0.01)


@pytest.fixture
def space(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    return file


def build(space, kinds, output):
    values = {"layers": len(kinds), "attn": kinds, "ffn": [8 * (k != "conv") or 20 for k in kinds]}
    attune_cli.attune("search", "build", space, f"--values={json.dumps(values)}", "-o", output)
    return Network(output)


def data(count=256):
    """Which of four stretches is loudest."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2 * count, 7, 3)).astype(np.float32)
    y = np.stack([(x[:, i : i + 4, 0] ** 2).sum(1) for i in range(4)], 1).argmax(1)
    return {"x_train": x[:count], "y_train": y[:count], "x_val": x[count:], "y_val": y[count:]}


def test_trained_is_compiled(space, tmp_path):
    network = build(space, KINDS, tmp_path / "m.onnx")
    given = data()
    metrics, trainer = standalone.train(network, numpy_ops, given, 1, OPTIONS)
    assert metrics["train_loss"] < np.log(4) - 0.05
    network.save(tmp_path / "m.onnx", trainer.weights())
    session = attune_ctypes.Session(
        attune_cli.compile(tmp_path / "m.onnx", tmp_path / "m.so"), threads=1
    )
    peer = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    x = given["x_val"][:40]
    scores = trainer.scores(x)
    assert scores.std() > 0.1
    for sample, want in zip(x, scores):
        (got,) = session.run({"x": sample[None]}).values()
        # float32 through five layers, whose sums are in other orders
        np.testing.assert_allclose(got[0], want, atol=2e-4)
        np.testing.assert_allclose(peer.run(None, {"x": sample[None]})[0][0], want, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(space, tmp_path, kind):
    """Against differences of the loss, in double precision."""
    network = build(space, [kind], tmp_path / "m.onnx")
    network.constants = {
        n: t.astype(np.float64) if t.dtype == np.float32 else t
        for n, t in network.constants.items()
    }
    rng = np.random.default_rng(5)
    weights = {n: w + 0.2 * rng.standard_normal(w.shape) for n, w in network.initial(rng).items()}
    x, seed = rng.standard_normal((3, 7, 3)), rng.standard_normal((3, 4))
    variables = {n: numpy_ops.variable(w) for n, w in weights.items()}
    numpy_ops.backward(network(numpy_ops, variables, numpy_ops.constant(x)), seed)

    def loss(name, index, change):
        moved = {**weights, name: weights[name].copy()}
        moved[name][index] += change
        moved = {n: numpy_ops.constant(w) for n, w in moved.items()}
        return (network(numpy_ops, moved, numpy_ops.constant(x)).array * seed).sum()

    for name, variable in variables.items():
        for _ in range(3):
            index = tuple(rng.integers(0, n) for n in variable.shape)
            slope = (loss(name, index, 1e-3) - loss(name, index, -1e-3)) / 2e-3
            # Gelu is accurate to 1e-7, which differences magnify by 1e3.
            assert variable.gradient[index] == pytest.approx(slope, abs=1e-3, rel=1e-3), name


def test_back_ends_agree(space, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: its back end is not tested")
    network, given = build(space, KINDS, tmp_path / "m.onnx"), data(32)
    weights = network.initial(np.random.default_rng(1))
    # Steps of length 0: training magnifies differences of rounding.
    scores, slopes = [], []
    for name in ("torch", "numpy"):
        trainer = standalone.back_end(name).Trainer(network, weights)
        trainer.step(given["x_train"], given["y_train"], 0.0)
        scores.append(trainer.scores(given["x_val"]))
        variables = trainer.variables.values()
        slopes += [[(v.grad.numpy() if name == "torch" else v.gradient) for v in variables]]
    np.testing.assert_allclose(*scores, atol=1e-4)
    for torch_slope, numpy_slope in zip(*slopes):
        np.testing.assert_allclose(torch_slope, numpy_slope, atol=1e-5, rtol=1e-3)


def test_study(space, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    monkeypatch.setenv("ATTUNE", str(attune_cli.ATTUNE))
    np.savez(tmp_path / "data.npz", **data(64))
    command = [sys.executable, "-m", "attune.search.standalone", "--backend=numpy", "--epochs=2"]
    worker = command + ["--space=space.yaml", "--data=data.npz"]
    space.write_text(SPACE + f"evaluator: {{name: worker, command: {json.dumps(worker)}}}\n")
    study = tmp_path / "study"
    attune_cli.attune("search", space, "-o", study)
    attune_cli.attune("search", "finalists", study, "--top=1", "--runs=2")
    final = command + [f"--winner={study}", f"--data={tmp_path}/data.npz"]
    result = subprocess.run(final, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("val_acc 0.")
    network = Network(study / "winner.onnx")
    trained = {t.name: t for t in network.model.graph.initializer}
    scale = next(n.input[1] for n, _ in network.nodes if n.op_type == "LayerNormalization")
    assert abs(np.frombuffer(trained[scale].raw_data, np.float32) - 1).max() < 0.5


def test_refused(space, tmp_path):
    network = build(space, ["softmax"], tmp_path / "m.onnx")
    for tensor in network.model.graph.initializer:
        tensor.name = tensor.name.replace("w_", "x_")
    onnx.save(network.model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="has no weights to train"):
        Network(tmp_path / "other.onnx")
    network = Network(tmp_path / "m.onnx")
    network.model.graph.node[0].op_type = "Cos"
    onnx.save(network.model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match="cannot train Cos .*accepted: Add, Attention"):
        Network(tmp_path / "other.onnx")
