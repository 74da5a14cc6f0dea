"""What kernels cost where no GPU is at hand: machine code by ptxas, and accesses to memory."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from models import language, small
from models.spelling import SPELLINGS
from onnx import TensorProto

PTXAS = shutil.which("ptxas") or next(
    (str(p) for p in sorted(Path("/usr/local").glob("cuda*/bin/ptxas"))), None
)


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
    "product_f16_narrow": product("FLOAT16", columns=48),
    "product_f16_odd": product("FLOAT16", depth=33, columns=77),
    "product_f16_transposed": product("FLOAT16", transposed=True),
    "product_bf16": product("BFLOAT16"),
}


def models():
    yield from ((name, make()[0]) for name, make in small.MODELS.items())
    yield "encoder", language.encoder(SPELLINGS["native"]).model
    yield from PRODUCTS.items()


def assemble(text, gpu, folder):
    """Per kernel: registers, static shared memory, bytes of stack and of spills."""
    (folder / "k.ptx").write_text(text)
    done = subprocess.run(
        [PTXAS, f"-arch={gpu}", "-v", folder / "k.ptx", "-o", folder / "k.cubin"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
        r"(\d+) bytes spill loads.*?Used (\d+) registers(.*?)$",
        done.stderr,
        re.S | re.M,
    )
    for name, stack, stores, loads, used, rest in found:
        shared = re.search(r"(\d+) bytes smem", rest)
        yield name, int(used), int(shared[1]) if shared else 0, int(stack), int(stores) + int(loads)


@pytest.mark.skipif(not PTXAS, reason="no ptxas, which comes with the CUDA toolkit")
@pytest.mark.parametrize("gpu", ["sm_80", "sm_90a"])
def test_registers(gpu, tmp_path):
    """Nothing lives in local memory; `pytest -s` shows the table."""
    for name, model in models():
        onnx.save(model, tmp_path / "model.onnx")
        flags = ("--target=cuda", f"--gpu={gpu}", "--emit=ptx", "-o", "-")
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
    rng = np.random.default_rng(9)
    feeds = {
        port.name: rng.normal(
            size=[d.dim_value or 128 for d in port.type.tensor_type.shape.dim]
        ).astype(onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))
        for port in PRODUCTS[name].graph.input
    }
    session = Session(artifact)
    session.run(feeds)
    session.close()
    launches = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(launches) == 1 and launches[0]["opcode:mma"] > 0
    assert launches[0]["conflicts"] == []
    assert launches[0]["global_sectors"] <= launches[0]["global_ideal_sectors"]
