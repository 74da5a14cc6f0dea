"""Runs functions written in the attune dialect through the reference lowering.

`Library(functions)` decomposes, bufferises and lowers one module with upstream passes, compiles it to
a shared library in a temporary folder; `call` takes and returns numpy arrays.
"""

import ctypes
import os
import pathlib
import subprocess
import tempfile

import ml_dtypes
import numpy as np

PASSES = [
    "--one-shot-bufferize=bufferize-function-boundaries "
    "function-boundary-type-conversion=identity-layout-map",
    "--convert-linalg-to-loops", "--expand-strided-metadata", "--memref-expand", "--lower-affine",
    "--convert-scf-to-cf", "--convert-math-to-llvm", "--convert-math-to-libm", "--arith-expand=include-bf16",
    "--convert-arith-to-llvm", "--convert-index-to-llvm", "--finalize-memref-to-llvm",
    "--convert-cf-to-llvm", "--convert-func-to-llvm", "--reconcile-unrealized-casts",
]  # fmt: skip
DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64,
          "i8": np.int8, "i32": np.int32, "i64": np.int64}  # fmt: skip
LLVM = pathlib.Path(os.environ["ATTUNE_LLVM"])


def descriptor(rank):
    """The struct that a ranked memref becomes in C."""
    fields = [("base", ctypes.c_void_p), ("data", ctypes.c_void_p), ("offset", ctypes.c_int64)]
    if rank:
        fields += [("sizes", ctypes.c_int64 * rank), ("strides", ctypes.c_int64 * rank)]
    return type(f"MemRef{rank}", (ctypes.Structure,), {"_fields_": fields})


def describe(array):
    result = descriptor(array.ndim)(array.ctypes.data, array.ctypes.data, 0)
    if array.ndim:
        result.sizes[:] = array.shape
        result.strides[:] = [stride // array.itemsize for stride in array.strides]
    return result


def read(memref, dtype):
    shape = tuple(getattr(memref, "sizes", ()))
    size = int(np.prod(shape, dtype=np.int64))
    if not size:
        return np.empty(shape, dtype)
    address = memref.data + memref.offset * np.dtype(dtype).itemsize
    raw = (ctypes.c_char * (size * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(raw, dtype).reshape(shape).copy()


def pass_argument(value):
    if isinstance(value, int):
        return ctypes.c_int64(value)
    if isinstance(value, np.float64):
        return ctypes.c_double(value)
    if isinstance(value, float):
        return ctypes.c_float(value)
    return ctypes.byref(describe(value))


class Library:
    """One shared library of all `functions` (texts of func.func with llvm.emit_c_interface).

    `first`: the passes that lower attune ops.
    """

    def __init__(self, functions, first=("--attune-decompose",)):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        (folder / "in.mlir").write_text("\n".join(functions))
        tools = pathlib.Path(os.environ["ATTUNE_BUILD"]) / "bin"
        self.step([tools / "attune-opt", *first, *PASSES, "in.mlir", "-o", "llvm.mlir"])
        self.step([LLVM / "mlir-translate", "--mlir-to-llvmir", "llvm.mlir", "-o", "all.ll"])
        self.step([LLVM / "clang", "-O1", "-march=native", "-w", "-shared", "-fPIC", "all.ll", "-lm",
                   "-L", LLVM.parent / "lib", f"-Wl,-rpath,{LLVM.parent / 'lib'}",
                   "-lmlir_c_runner_utils", "-o", "all.so"])  # fmt: skip
        self.code = ctypes.CDLL(folder / "all.so")

    def step(self, command):
        done = subprocess.run(command, cwd=self.folder.name, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[:4000]}")

    def call(self, name, inputs, results):
        """`inputs`: arrays, ints (index), floats (f32) or numpy's (f64). `results`: (element type, rank) each."""
        fields = [(f"r{i}", descriptor(rank)) for i, (_, rank) in enumerate(results)]
        out = type("Results", (ctypes.Structure,), {"_fields_": fields})()
        # Copies: a lowering may write to a buffer that it takes for its own.
        inputs = [t if isinstance(t, (int, float)) else np.array(t, order="C") for t in inputs]
        arguments = [pass_argument(t) for t in inputs]
        getattr(self.code, f"_mlir_ciface_{name}")(ctypes.byref(out), *arguments)
        return [
            read(getattr(out, f"r{i}"), DTYPES[element]) for i, (element, _) in enumerate(results)
        ]
