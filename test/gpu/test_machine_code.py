"""What kernels cost where no GPU is at hand: machine code by ptxas, and accesses to memory."""

import json

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from machine_code import PTXAS, assemble, occupancy, random_inputs, rows
from models import language, small
from models.spelling import SPELLINGS
from onnx import TensorProto
from test_linear import normalised, recurrent
from test_map_mix import CASES as MIXES
from test_map_mix import graph as map_mix
from test_products import byte_distances


def product(dtype, depth=64, columns=128, transposed=False):
    """Bias and ReLU behind a product; `transposed`: B has the depth inside."""
    wide = [columns, depth] if transposed else [depth, columns]
    turned = [("Transpose", ["w"], "t", {"perm": [1, 0]})] if transposed else []
    return small.model(
        [
            *turned,
            ("MatMul", ["x", "t" if transposed else "w"], "p", {}),
            ("Add", ["p", "bias"], "s", {}),
            ("Relu", ["s"], "y", {}),
        ],
        {"x": ["n", depth], "w": wide, "bias": [columns]},
        ["n", columns],
        dtype=getattr(TensorProto, dtype),
    )


PRODUCTS = {
    "product_f32": product("FLOAT"),
    "product_f16": product("FLOAT16"),
    "product_f16_narrow": product("FLOAT16", columns=64),
    "product_f16_odd": product("FLOAT16", depth=33, columns=77),
    "product_f16_transposed": product("FLOAT16", transposed=True),
    "product_bf16": product("BFLOAT16"),
}
LINEAR = {
    "linear_f16": normalised("f16", False, 2, 64, 64),
    "linear_f16_causal": normalised("f16", True, 2, 64, 64),
    "linear_bf16_causal_wide": normalised("bf16", True, 1, 128, 128),
    "linear_f16_gated": recurrent("f16", "gated", 2, 2, 64, 64),
    "linear_f32_causal": normalised("f32", True, 2, 64, 64),
}


def attention(dtype, d, **attributes):
    """Queries that share keys; how many there are is free, so that both forms are made."""
    return small.model(
        [("Attention", ["q", "k", "v"], "y", attributes)],
        {"q": ["b", 4, "n", d], "k": ["b", 2, "m", d], "v": ["b", 2, "m", d]},
        ["b", 4, "n", d],
        dtype=getattr(TensorProto, dtype),
    )


ATTENTION = {
    f"attention_{dtype}_{d}{'_causal' * causal}": attention(
        kind, d, **({"is_causal": 1} if causal else {})
    )
    for kind, dtype in {"FLOAT16": "f16", "BFLOAT16": "bf16", "FLOAT": "f32"}.items()
    for d in [64, 128]
    for causal in [0, 1]
    if not (causal and kind == "BFLOAT16")
}


def models():
    yield from ((name, make()[0]) for name, make in small.MODELS.items())
    yield "encoder", language.encoder(SPELLINGS["native"]).model
    yield from PRODUCTS.items()
    yield "distances_u8", byte_distances(2048, 128)[0]
    yield from ATTENTION.items()
    yield from ((name, graph._model()) for name, graph in LINEAR.items())
    yield from ((f"map_mix_{name}", map_mix(*mix)._model()) for name, mix in MIXES.items())


@pytest.mark.skipif(not PTXAS, reason="no ptxas, which comes with the CUDA toolkit")
@pytest.mark.parametrize("gpu", ["sm_80", "sm_90a"])
def test_registers(gpu, tmp_path):
    """Nothing lives in local memory; `pytest -s` shows the table."""
    floats = [
        ("product_tf32_transposed", product("FLOAT", transposed=True), "tf32"),
        ("product_tf32x3", product("FLOAT"), "tf32x3"),
    ]
    for name, model, math in [*((*named, "f32") for named in models()), *floats]:
        onnx.save(model, tmp_path / "model.onnx")
        flags = ("--target=cuda", f"--gpu={gpu}", f"--gpu-math={math}", "--emit=ptx", "-o", "-")
        text = cli.attune("compile", tmp_path / "model.onnx", *flags).stdout
        kernels = list(assemble(text, gpu, tmp_path))
        assert len(kernels) == text.count(".entry")
        for kernel, used, shared, stack, spilled in kernels:
            print(f"{gpu} {name:24} {kernel:14} {used:4} registers {shared:6} bytes shared")
            assert stack == 0 and spilled == 0, f"{name}: {kernel}"


@pytest.mark.parametrize("name", [n for n in PRODUCTS if "f16" in n and "odd" not in n])
def test_accesses(name, tmp_path, monkeypatch):
    """Tensor-core kernels have no bank conflicts, and touch no sector of memory in vain."""
    report = tmp_path / "report.json"
    monkeypatch.setenv("ATTUNE_PTX_REPORT", str(report))
    onnx.save(PRODUCTS[name], tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda")
    feeds = random_inputs(PRODUCTS[name], {"n": 128}, np.random.default_rng(9))
    session = Session(artifact)
    session.run(feeds)
    session.close()
    launches = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(launches) == 1 and launches[0]["opcode:mma"] > 0
    assert launches[0]["conflicts"] == []
    assert launches[0]["global_sectors"] <= launches[0]["global_ideal_sectors"]


@pytest.mark.parametrize("name", ["linear_f16", "linear_f16_causal"])
def test_linear_accesses(name, tmp_path, monkeypatch):
    """The same of the states of two parts, their sums, and results."""
    report = tmp_path / "report.json"
    monkeypatch.setenv("ATTUNE_PTX_REPORT", str(report))
    model = LINEAR[name]._model()
    onnx.save(model, tmp_path / "model.onnx")
    session = Session(cli.compile(tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda"))
    sizes = {"b": 1, "n": 320, "m": 320}
    session.run(random_inputs(model, sizes, np.random.default_rng(9)))
    session.close()
    launches = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(launches) == 3
    for launch in launches:
        assert launch["conflicts"] == []
        assert launch["global_sectors"] <= launch["global_ideal_sectors"]


def test_occupancy():
    """By registers, threads, shared memory, and blocks."""
    assert occupancy("sm_80", threads=128, registers=128, shared=0) == 16 / 64
    assert occupancy("sm_80", threads=256, registers=32, shared=0) == 1
    assert occupancy("sm_80", threads=128, registers=40, shared=81 << 10) == 8 / 64
    assert occupancy("sm_90a", threads=384, registers=168, shared=200 << 10) == 12 / 64
    assert occupancy("sm_80", threads=32, registers=16, shared=0) == 32 / 64


@pytest.mark.skipif(not PTXAS, reason="no ptxas, which comes with the CUDA toolkit")
def test_table(tmp_path):
    model = PRODUCTS["product_f16"]
    feeds = random_inputs(model, {"n": 70}, np.random.default_rng(9))
    (row,) = rows(model, feeds, "sm_80", tmp_path)
    assert row["emitter"] == "gpu-gemm" and row["spills"] == 0
    assert 0 < row["occupancy"] <= 1 and row["shared"] > 0 and 0 < row["products"] < 1
