"""The models of the templates `causal_lm` and `seq2seq`: what they compute, compiled and by ONNX
Runtime, and what the positions of a decoder may see."""

import collections
import json

import attune_cli
import numpy as np
import onnx
import onnxruntime
import pytest
from attune_ctypes import Session

KINDS = ["softmax", "linear", "cosformer", "local2", "conv5"]
SOURCE, TARGET, VOCAB = 9, 13, 11

CAUSAL_LM = f"""
attune-space: 1
template: causal_lm
fixed: {{seq: {TARGET}, d: 16, vocab: {VOCAB}, heads: 2, ffn: 24}}
vars:
  - {{name: attn, kind: cat, values: [{", ".join(KINDS)}], repeat: 2}}
  - {{name: tie, kind: cat, values: [none, all]}}
constraints:
  - {{cost: latency_ms, le: 1000, threads: 1}}
objectives:
  - {{cost: params, goal: max}}
  - {{cost: latency_ms, goal: min, threads: 1}}
budget: {{evals: 12}}
"""

SEQ2SEQ = f"""
attune-space: 1
template: seq2seq
fixed: {{source: {SOURCE}, target: {TARGET}, d: 16, vocab: {VOCAB}, enc_heads: 2, dec_heads: 4}}
vars:
  - {{name: enc_attn, kind: cat, values: [{", ".join(KINDS)}], repeat: 2}}
  - {{name: dec_attn, kind: cat, values: [{", ".join(KINDS)}], repeat: 2}}
  - {{name: tie, kind: cat, values: [none, encoder, decoder, all]}}
objectives:
  - {{cost: latency_ms, goal: min, threads: 1}}
"""


class Built:
    """A member of a space as ONNX and compiled."""

    def __init__(self, space, values, folder):
        (folder / "space.yaml").write_text(space)
        for name in ("m.onnx", "m.so"):
            attune_cli.attune("search", "build", folder / "space.yaml", "-o", folder / name,
                              f"--values={json.dumps(values)}")  # fmt: skip
        self.reference = onnxruntime.InferenceSession(
            folder / "m.onnx", providers=["CPUExecutionProvider"]
        )
        self.compiled = Session(folder / "m.so", threads=2)

    def __call__(self, **tokens):
        """Logits; compiled ones are those of ONNX Runtime, but for roundings of f32."""
        want = self.reference.run(None, tokens)[0]
        [got] = self.compiled.run(tokens).values()
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())
        return got


def drawn(length, seed=1):
    return np.random.default_rng(seed).integers(0, VOCAB, (1, length), np.int64)


def changed(tokens, place):
    tokens = tokens.copy()
    tokens[0, place] = (tokens[0, place] + 1) % VOCAB
    return tokens


@pytest.mark.parametrize("kind", KINDS)
def test_decoders_see_no_later_token(kind, tmp_path):
    model = Built(CAUSAL_LM, {"attn": [kind, kind], "tie": "none"}, tmp_path)
    tokens = drawn(TARGET)
    before = model(tokens=tokens)
    assert before.shape == (1, TARGET, VOCAB)
    place = TARGET // 2
    after = model(tokens=changed(tokens, place))
    np.testing.assert_array_equal(after[:, :place], before[:, :place])
    differs = (after != before).any(-1)[0]
    # Two layers of windows of 3, or of 5 taps, reach 5 and 9 tokens back.
    reach = {"local2": 5, "conv5": 9}.get(kind, TARGET)
    assert differs[place:].tolist() == [i < reach for i in range(TARGET - place)]


def test_decoders_read_the_source(tmp_path):
    values = {"enc_attn": ["softmax", "conv5"], "dec_attn": ["local2", "linear"], "tie": "none"}
    model = Built(SEQ2SEQ, values, tmp_path)
    source, target = drawn(SOURCE, 2), drawn(TARGET)
    before = model(source=source, target=target)
    assert before.shape == (1, TARGET, VOCAB)
    assert (model(source=changed(source, 0), target=target) != before).any(-1).all()
    after = model(source=source, target=changed(target, TARGET - 1))
    assert ((after != before).any(-1)[0]).tolist() == [False] * (TARGET - 1) + [True]


@pytest.mark.parametrize("tie", ["encoder", "decoder", "all"])
def test_tied_layers_name_the_same_weights(tie, tmp_path):
    values = {"enc_attn": ["softmax"] * 2, "dec_attn": ["softmax"] * 2, "tie": tie}
    model = Built(SEQ2SEQ, values, tmp_path)
    model(source=drawn(SOURCE), target=drawn(TARGET))
    graph = onnx.load(tmp_path / "m.onnx").graph
    used = collections.Counter(name for node in graph.node for name in node.input)
    twice = [t.name for t in graph.initializer if t.data_type == 1 and t.dims and used[t.name] == 2]
    # 16 tensors of a layer of the encoder; with attention to the source the decoder has 22.
    assert len(twice) == {"encoder": 16, "decoder": 22, "all": 38}[tie]


def test_study(tmp_path):
    space, study = tmp_path / "space.yaml", tmp_path / "study"
    space.write_text(CAUSAL_LM)
    attune_cli.attune("search", space, "-o", study)
    finals = attune_cli.attune("search", "finalists", study, "--top=1", "--runs=2")
    assert "winner: " in finals.stdout
