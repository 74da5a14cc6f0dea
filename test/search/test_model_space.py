"""A search over a user's own model: choices, prices, artifacts and files of candidates.

The models are one attention of one layer in the spellings of exporters. What a choice computes is
compared with numpy in double precision, from the same weights.
"""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

import attune_cli
from attune_ctypes import Session
from models.builder import Graph

HEADS, DEPTH, LENGTH = 2, 4, 9
WIDTH = HEADS * DEPTH
NEVER = np.float32(-3.4e38)


def masks(seed=3):
    """Keys that count, [2, LENGTH]; the first one always does."""
    keep = np.random.default_rng(seed).random((2, LENGTH)) < 0.7
    keep[:, 0] = True
    return keep


class Spelled:
    """Products around a Softmax, with masks as exporters add them; `scale` in its usual places."""

    def __init__(self, causal=False, padding=False, scaled="scores"):
        self.causal, self.padding, self.scaled = causal, padding, scaled

    def __call__(self, g, q, k, v, keep):
        scale = np.float32(DEPTH**-0.5)
        if self.scaled == "queries":
            q = g.op("Mul", q, scale)
        x = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
        if self.scaled == "scores":
            x = g.op("Div", x, np.float32(DEPTH**0.5))
        if self.causal:
            past = np.tril(np.ones((LENGTH, LENGTH), bool))
            x = g.op("Where", past, x, np.float32(-np.inf))
        if self.padding:
            hidden = g.op("Sub", np.float32(1), g.op("Cast", keep, to=onnx.TensorProto.FLOAT))
            x = g.op("Add", x, g.op("Unsqueeze", g.op("Mul", hidden, NEVER), np.array([1, 2])))
        return g.op("MatMul", g.op("Softmax", x, axis=-1), v)


class Operator:
    """One Attention node on [batch, heads, length, size], of two query heads per key head."""

    causal, padding, kv_heads = True, True, 1

    def __call__(self, g, q, k, v, keep):
        keep = g.op("Unsqueeze", g.op("Cast", keep, to=onnx.TensorProto.BOOL), np.array([1, 2]))
        return g.op("Attention", q, k, v, keep, is_causal=1)


SPELLINGS = {
    "plain": Spelled(),
    "padded": Spelled(padding=True, scaled="queries"),
    "causal": Spelled(causal=True),
    "decoder": Spelled(causal=True, padding=True),
    "operator": Operator(),
}


def write_model(spelling, path, layers=1, batch=2):
    kv_heads = getattr(spelling, "kv_heads", HEADS)
    g = Graph("attention", 23)
    x = g.input("x", "f32", [batch, LENGTH, WIDTH])
    keep = g.input("keep", "i64", [batch, LENGTH])
    weights = []
    for layer in range(layers):
        with g.scope(f"layer.{layer}"):
            heads = []
            for count in (HEADS, kv_heads, kv_heads):
                w = g.rng.standard_normal((WIDTH, count * DEPTH)).astype(np.float32)
                weights.append(w)
                parts = g.op("Reshape", g.op("MatMul", x, w), np.array([0, 0, count, DEPTH]))
                heads.append(g.op("Transpose", parts, perm=[0, 2, 1, 3]))
            y = g.op("Transpose", spelling(g, *heads, keep), perm=[0, 2, 1, 3])
            x = g.op("Reshape", y, np.array([0, 0, WIDTH]))
    g.output(x, "y", "f32", [batch, LENGTH, WIDTH])
    onnx.save(g.finish(), path)
    return path, weights


def oracle(spelling, weights, x, keep, kind):
    kv_heads = getattr(spelling, "kv_heads", HEADS)
    q, k, v = (
        (x.astype(float) @ w).reshape(*x.shape[:2], -1, DEPTH).transpose(0, 2, 1, 3)
        for w in weights
    )
    k, v = (np.repeat(t, HEADS // kv_heads, 1) for t in (k, v))
    i, j = np.ogrid[:LENGTH, :LENGTH]
    allowed = np.ones((x.shape[0], 1, LENGTH, LENGTH), bool)
    if spelling.causal:
        allowed &= j <= i
    if spelling.padding:
        allowed &= keep[:, None, None, :] != 0
    scale = DEPTH**-0.5
    if kind.startswith("local"):
        allowed &= abs(i - j) <= int(kind[5:])
        scores = np.where(allowed, scale * q @ k.swapaxes(2, 3), -np.inf)
        top = scores.max(-1, keepdims=True)
        w = np.exp(scores - np.where(np.isinf(top), 0, top))
        return rows(w / np.where(w.sum(-1, keepdims=True) == 0, 1, w.sum(-1, keepdims=True)) @ v)
    w = scale * np.maximum(q, 0) @ np.maximum(k, 0).swapaxes(2, 3) * allowed
    if kind == "cosformer":
        w = w * np.cos(np.pi / 2 * (i - j) / LENGTH)
        return rows(w @ v / np.maximum(w.sum(-1, keepdims=True), 1e-6))
    return rows(w @ v / (w.sum(-1, keepdims=True) + 1e-6))


def rows(y):
    return y.transpose(0, 2, 1, 3).reshape(y.shape[0], LENGTH, WIDTH)


def feeds(seed=1):
    x = np.random.default_rng(seed).standard_normal((2, LENGTH, WIDTH)).astype(np.float32)
    return {"x": x, "keep": masks().astype(np.int64)}


def label(model):
    """What the choice of the only layer is called."""
    nodes = [n.name for n in onnx.load(model).graph.node if n.op_type in ("MatMul", "Attention")]
    return nodes[-1]


def variable(model):
    return "".join(c if c.isalnum() else "_" for c in label(model).lstrip("/"))


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("kind", ["linear", "cosformer", "local2"])
def test_alternatives(name, kind, tmp_path):
    spelling = SPELLINGS[name]
    model, weights = write_model(spelling, tmp_path / "m.onnx")
    genes = tmp_path / "genes.json"
    genes.write_text(json.dumps({label(model): kind}))
    artifact = attune_cli.compile(model, tmp_path / "m.so", f"--choices={genes}")
    inputs = feeds()
    want = oracle(spelling, weights, inputs["x"], inputs["keep"], kind)
    got = Session(artifact, threads=1).run(inputs)["y"]
    # f32 sums of 9 terms; a denominator of linear attention can be small.
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)

    # The file of the candidate, as another runtime sees it, and as the compiler reads it again.
    space = tmp_path / "space.yaml"
    space.write_text(
        f"attune-space: 1\ntemplate: {{model: m.onnx, choices: [{kind}]}}\n"
        f"vars: [{{name: {variable(model)}, kind: cat, values: [softmax, {kind}]}}]\n"
        "objectives: [{cost: latency_ms, goal: min}]\n"
    )
    written = tmp_path / "w.onnx"
    values = json.dumps({variable(model): kind})
    attune_cli.attune("search", "build", space, "-o", written, f"--values={values}")
    onnx.checker.check_model(written, full_check=True)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, inputs)[0], want, rtol=2e-4, atol=2e-5)
    if kind != "linear":
        return
    again = attune_cli.compile(written, tmp_path / "w.so")
    np.testing.assert_allclose(
        Session(again, threads=1).run(inputs)["y"], want, rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("name", SPELLINGS)
def test_kept(name, tmp_path):
    """A choice of what the model has changes no bit."""
    model, _ = write_model(SPELLINGS[name], tmp_path / "m.onnx")
    genes = tmp_path / "genes.json"
    genes.write_text(json.dumps({label(model): "softmax"}))
    plain = attune_cli.compile(model, tmp_path / "plain.so")
    kept = attune_cli.compile(model, tmp_path / "kept.so", f"--choices={genes}")
    got = [Session(artifact, threads=1).run(feeds())["y"] for artifact in (plain, kept)]
    np.testing.assert_array_equal(*got)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    write_model(SPELLINGS["decoder"], folder / "m.onnx", layers=2)
    attune_cli.attune(
        "search", "space", folder / "m.onnx", "-o", folder / "space.yaml",
        "--choices=softmax,linear,local2",
    )  # fmt: skip
    return folder


def test_study(deep):
    folder = deep
    text = (folder / "space.yaml").read_text()
    assert 'template: {model: "m.onnx", choices: [softmax, linear, local2]}' in text
    assert text.count("kind: cat, values: [softmax, linear, local2]") == 2
    study = folder / "study"
    attune_cli.attune("search", folder / "space.yaml", "-o", study)
    result = attune_cli.attune("search", "finalists", study, "--runs=3", "--top=1")
    assert "winner: " in result.stdout and "winner.onnx" in result.stdout
    onnx.checker.check_model(study / "winner.onnx", full_check=True)
    inputs = feeds()
    session = onnxruntime.InferenceSession(
        study / "winner.onnx", providers=["CPUExecutionProvider"]
    )
    got = Session(study / "winner.so", threads=1).run(inputs)["y"]
    np.testing.assert_allclose(got, session.run(None, inputs)[0], rtol=2e-4, atol=2e-5)
    # What the candidate chose, for the compiler.
    attune_cli.attune("search", "build", study, "-o", study / "choices.json")
    choices = json.loads((study / "choices.json").read_text())
    assert len(choices) == 2 and set(choices.values()) <= {"softmax", "linear", "local2"}
    attune_cli.compile(folder / "m.onnx", study / "again.so", f"--choices={study}/choices.json")
    again = Session(study / "again.so", threads=1).run(inputs)["y"]
    np.testing.assert_array_equal(got, again)


def test_moved_model(deep):
    """A study knows the model it is of."""
    folder = deep
    other, study = folder / "other.onnx", folder / "moved"
    write_model(SPELLINGS["decoder"], other, layers=2)
    space = folder / "other.yaml"
    space.write_text((folder / "space.yaml").read_text().replace("m.onnx", "other.onnx"))
    attune_cli.attune("search", space, "-o", study, "--evals=2")
    model = onnx.load(other)
    model.doc_string = "changed"
    onnx.save(model, other)
    result = attune_cli.attune("search", space, "-o", study, "--resume", check=False)
    assert result.returncode == 1 and "has another cost_model" in result.stderr


def test_mistakes(deep, tmp_path):
    folder = deep

    def refused(*arguments):
        result = attune_cli.attune(*arguments, check=False)
        assert result.returncode == 1, result.stderr
        return result.stderr

    def choices(text):
        (tmp_path / "c.json").write_text(text)
        return refused("compile", folder / "m.onnx", "-o", tmp_path / "m.so",
                       f"--choices={tmp_path}/c.json")  # fmt: skip

    assert "no choice is labelled `none`" in choices('{"none": "linear"}')
    assert "there is no alternative `quick`; accepted for attention: softmax" in choices(
        '{"none": "quick"}'
    )
    (node, *_) = (n.name for n in onnx.load(folder / "m.onnx").graph.node if n.op_type == "Softmax")
    assert "has no selected alternative, found softmax, linear" in choices(
        json.dumps({last_product(folder / "m.onnx", node): "linear"})
    )
    assert "there is no alternative `never`" in refused(
        "search", "space", folder / "m.onnx", "-o", "-", "--choices=never"
    )

    def space(old, new):
        text = (folder / "space.yaml").read_text().replace('"m.onnx"', f'"{folder}/m.onnx"')
        assert old in text
        (tmp_path / "s.yaml").write_text(text.replace(old, new, 1))
        return refused("search", tmp_path / "s.yaml", "-o", tmp_path / "study")

    assert "`extra` is no choice of the model; it has layer_0" in space(
        "vars:\n", "vars:\n  - {name: extra, kind: cat, values: [a]}\n"
    )
    assert "cannot be `cosformer`; it can be softmax, linear, local2" in space(
        "values: [softmax,", "values: [cosformer,"
    )
    assert "cannot read" in space("m.onnx", "none.onnx")
    assert "a template needs `choices`" in space(", choices: [softmax, linear, local2]", "")
    assert "no input of the model has a dim symbol 'n'" in space(
        "local2]}", "local2], dims: {n: 4}}"
    )


def last_product(model, softmax):
    """The product with the values, behind a Softmax."""
    nodes = onnx.load(model).graph.node
    (result,) = (n.output[0] for n in nodes if n.name == softmax)
    return next(n.name for n in nodes if result in n.input)


def test_export_refused(tmp_path):
    """A graph that spells attention in another way is compiled, and not written as ONNX."""
    g = Graph("einsum", 23)
    x = g.input("x", "f32", [1, HEADS, LENGTH, DEPTH])
    scores = g.op("Einsum", x, x, equation="bhnd,bhmd->bhnm")
    y = g.op("Einsum", g.op("Softmax", scores, axis=-1), x, equation="bhnm,bhme->bhne")
    g.output(y, "y", "f32", [1, HEADS, LENGTH, DEPTH])
    onnx.save(g.finish(), tmp_path / "m.onnx")
    attune_cli.attune("search", "space", tmp_path / "m.onnx", "-o", tmp_path / "s.yaml",
                      "--choices=linear")  # fmt: skip
    text = (tmp_path / "s.yaml").read_text().replace("[softmax, linear]", "[linear]")
    (tmp_path / "s.yaml").write_text(text)
    attune_cli.attune("search", tmp_path / "s.yaml", "-o", tmp_path / "study")
    result = attune_cli.attune("search", "finalists", tmp_path / "study", "--runs=1")
    assert "no winner.onnx: unsupported: the attention of node" in result.stderr
    assert "it ends in Einsum; accepted: MatMul, Attention" in result.stderr
    assert (tmp_path / "study" / "winner.so").exists()
