"""The interpreter and the comparison with numpy notice what may go wrong in a kernel."""

import attune_cli as cli
import faults
import numpy as np
import onnx
import pytest
import test_linear as linear
from models import small
from onnx import TensorProto

# By depth, tiles of which are 32 deep: five of them fill every stage again; one is multiplied while
# the next ones, of zeros, are still copied.
RULES = {
    160: [faults.BARRIERS, faults.PIPELINE, faults.FRAGMENTS, faults.OFFSETS, faults.SWIZZLES],
    24: [faults.DRAIN],
}


@faults.needs_interpreter
@pytest.mark.parametrize("depth", RULES)
@pytest.mark.parametrize("transposed", [False, True])
def test_product(transposed, depth, tmp_path):
    wide = [40, depth] if transposed else [depth, 40]
    turned = [("Transpose", ["w"], "t", {"perm": [1, 0]})] if transposed else []
    model = small.model(
        [*turned, ("MatMul", ["x", "t" if transposed else "w"], "y", {})],
        {"x": [70, depth], "w": wide},
        [70, 40],
        dtype=TensorProto.FLOAT16,
    )
    onnx.save(model, tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda")
    rng = np.random.default_rng(4)
    x, w = (rng.normal(size=s).astype(np.float16) for s in [(70, depth), (40, depth)])
    feeds = {"x": x, "w": w if transposed else np.ascontiguousarray(w.T)}
    want = x.astype(np.float64) @ w.astype(np.float64).T
    faulty = faults.Faults(artifact, feeds, [want], tolerance=2e-3)
    missed, tried = faulty.missed(sum(RULES[depth], []), most=3)
    assert not missed and tried >= (30 if depth > 32 else 1)


@faults.needs_interpreter
@pytest.mark.parametrize("causal", [False, True])
def test_linear_attention(causal, tmp_path):
    """Two parts of the keys, the second one with chunks enough to fill both stages again."""
    rng = np.random.default_rng(4)
    graph = linear.normalised("f16", causal, heads=1, depth=64, width=64)
    artifact = linear.compiled(tmp_path, graph)
    # Features of different sizes: their sums differ, too.
    bias = {"q": 0, "k": 3 * rng.normal(size=64), "v": 0}
    feeds = {n: (rng.normal(size=(1, 1, 400, 64)) + x).astype(np.float16) for n, x in bias.items()}
    q, k, v = (x.astype(np.float64) for x in feeds.values())
    want = linear.pairs(linear.elu1(q), linear.elu1(k), v, causal)
    if causal:
        # Tiles with an infinity have code of their own.
        feeds["v"][:, :, 5, 3] = np.inf
        want[:, :, 5:, 3] = np.nan
    faulty = faults.Faults(artifact, feeds, [want], tolerance=2e-3)
    rules = [*RULES[160], faults.DRAIN]
    missed, tried = faulty.missed(sum(rules, []), most=3)
    assert not missed and tried >= 30


@faults.needs_interpreter
def test_product_of_floats(tmp_path):
    """As tf32 numbers: `ldmatrix` of A, single words of B; three products for one."""
    model = small.model([("MatMul", ["x", "w"], "y", {})], {"x": [70, 80], "w": [80, 40]}, [70, 40])
    onnx.save(model, tmp_path / "model.onnx")
    artifact = cli.compile(
        tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda", "--gpu-math=tf32x3"
    )
    rng = np.random.default_rng(4)
    x, w = (rng.normal(size=s).astype(np.float32) for s in [(70, 80), (80, 40)])
    want = x.astype(np.float64) @ w.astype(np.float64)
    faulty = faults.Faults(artifact, {"x": x, "w": w}, [want], tolerance=1e-6)
    missed, tried = faulty.missed(sum(RULES[160], []), most=2)
    assert not missed and tried >= 16


@faults.needs_interpreter
def test_warp_groups(tmp_path):
    """As many blocks as wgmma is used for; four tiles of depth go through three stages."""
    b, m, k, n = 66, 66, 256, 72
    model = small.model(
        [("MatMul", ["x", "w"], "y", {})],
        {"x": [b, m, k], "w": [b, k, n]},
        [b, m, n],
        dtype=TensorProto.FLOAT16,
    )
    onnx.save(model, tmp_path / "model.onnx")
    artifact = cli.compile(
        tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda", "--gpu=sm_90a"
    )
    rng = np.random.default_rng(4)
    x, w = (rng.normal(size=s).astype(np.float16) for s in [(b, m, k), (b, k, n)])
    want = x.astype(np.float64) @ w.astype(np.float64)
    faulty = faults.Faults(artifact, {"x": x, "w": w}, [want], tolerance=2e-3)
    missed, tried = faulty.missed(faults.BARRIERS, most=3)
    more, others = faulty.missed(faults.GROUPS, most=1)
    assert not missed + more and tried + others >= 9
