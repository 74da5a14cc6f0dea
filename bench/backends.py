"""The code generators against each other, kernel by kernel: `make bench-backends`.

Every model is compiled by each back end, checked against the reference lowering, and timed in
rounds that take turns; the best of all runs counts (the question is which code is faster, not how
busy the machine is). `auto` should be as fast as the faster one: its column says which it took.
The last columns are what a kernel of Halide costs: seconds to generate (from the plan to machine
code), and bytes of code and constants.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))
BACKENDS = ["mlir", "halide", "auto"]
RNG = np.random.default_rng(0)


def model(nodes, inputs, output, weights):
    def port(name, shape):
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [helper.make_node(op, i, o, name=o[0], **attributes) for op, i, o, attributes in nodes],
        "model",
        [port(*pair) for pair in inputs.items()],
        [port("y", output)],
        [numpy_helper.from_array(np.asarray(w, np.float32), n) for n, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolution(inputs, outputs, size, taps, group=1, dilation=1):
    shape = (outputs, inputs // group, taps, taps)
    weights = {"w": RNG.normal(size=shape) / 10, "b": RNG.normal(size=outputs)}
    pads = [taps // 2 * dilation] * 4
    conv = {"pads": pads, "group": group, "dilations": [dilation] * 2}
    nodes = [("Conv", ["x", "w", "b"], ["c"], conv), ("Relu", ["c"], ["y"], {})]
    return model(nodes, {"x": [1, inputs, size, size]}, [1, outputs, size, size], weights)


def pooling(op, stride):
    out = 112 // stride
    window = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [stride] * 2}
    return model([(op, ["x"], ["y"], window)], {"x": [1, 64, 112, 112]}, [1, 64, out, out], {})


def softmax():
    return model([("Softmax", ["x"], ["y"], {})], {"x": [6144, 512]}, [6144, 512], {})


def norm_and_gelu(rows=2048, width=768):
    nodes = [
        ("Mul", ["x", "s"], ["scaled"], {}),
        ("Add", ["scaled", "r"], ["sum"], {}),
        ("LayerNormalization", ["sum", "g", "b"], ["norm"], {}),
        ("Div", ["norm", "root"], ["e0"], {}),
        ("Erf", ["e0"], ["e1"], {}),
        ("Add", ["e1", "one"], ["e2"], {}),
        ("Mul", ["norm", "e2"], ["e3"], {}),
        ("Mul", ["e3", "half"], ["y"], {}),
    ]
    weights = {name: RNG.normal(size=width) for name in "sgb"}
    weights |= {"root": 2**0.5, "one": 1.0, "half": 0.5}
    return model(nodes, {"x": [rows, width], "r": [rows, width]}, [rows, width], weights)


def evolving(heads=8, n=512, depth=64):
    nodes = [
        ("Mul", ["s", "half"], ["s1"], {}),
        ("Mul", ["p", "half"], ["p1"], {}),
        ("Add", ["s1", "p1"], ["x"], {}),
        ("Conv", ["x", "w", "b"], ["c"], {"pads": [1] * 4}),
        ("LeakyRelu", ["c"], ["a"], {"alpha": 0.01}),
        ("Mul", ["a", "alpha"], ["a1"], {}),
        ("Mul", ["x", "rest"], ["x1"], {}),
        ("Add", ["a1", "x1"], ["z"], {}),
        ("Softmax", ["z"], ["q"], {}),
        ("MatMul", ["q", "v"], ["y"], {}),
    ]
    weights = {"w": RNG.normal(size=(heads, heads, 3, 3)) / 10, "b": RNG.normal(size=heads)}
    weights |= {"half": 0.5, "alpha": 0.3, "rest": 0.7}
    maps = [1, heads, n, n]
    ports = {"s": maps, "p": maps, "v": [1, heads, n, depth]}
    return model(nodes, ports, ports["v"], weights)


def interactive(heads=12, n=512, depth=64):
    nodes = [
        ("Conv", ["s", "w1", "b1"], ["c"], {}),
        ("Softmax", ["c"], ["q"], {}),
        ("Conv", ["q", "w2", "b2"], ["q2"], {}),
        ("MatMul", ["q2", "v"], ["y"], {}),
    ]
    weights = {f"w{i}": RNG.normal(size=(heads, heads, 1, 1)) / 3 for i in (1, 2)}
    weights |= {f"b{i}": RNG.normal(size=heads) for i in (1, 2)}
    ports = {"s": [1, heads, n, n], "v": [1, heads, n, depth]}
    return model(nodes, ports, ports["v"], weights)


CASES = {
    "softmax": softmax,
    "norm-gelu": norm_and_gelu,
    "conv3x3": lambda: convolution(64, 64, 56, 3),
    "conv3x3-dilated": lambda: convolution(64, 64, 56, 3, dilation=2),
    "conv3x3-grouped": lambda: convolution(64, 64, 56, 3, group=4),
    "depthwise3x3": lambda: convolution(128, 128, 56, 3, group=128),
    "depthwise7x7": lambda: convolution(96, 96, 56, 7, group=96),
    "maxpool": lambda: pooling("MaxPool", 1),
    "averagepool": lambda: pooling("AveragePool", 2),
    "evolving": evolving,
    "eit": interactive,
}


def generation_seconds(report):
    """Of all kernels, from what `attune compile --time` prints."""
    return sum(float(ms) for ms, stage in re.findall(r"([\d.]+) ms +(lower|emit)", report)) / 1e3


def code_bytes(artifact):
    """Of .text and .rodata."""
    table = subprocess.run(["size", "-A", artifact], capture_output=True, text=True, check=True)
    return sum(int(n) for n in re.findall(r"^\.(?:text|rodata) +(\d+)", table.stdout, re.M))


def measure(name, rounds, threads, folder):
    from attune_cli import attune

    path = folder / f"{name}.onnx"
    onnx.save(CASES[name](), path)
    best, made, price = {}, {}, None
    for backend in BACKENDS:
        artifact = folder / f"{name}.{backend}.so"
        report = attune("compile", path, "-o", artifact, f"--backend={backend}", "--time")
        attune("check", path, f"--backend={backend}", "--tolerance=1e-5")
        kernels = json.loads(attune("inspect", artifact, "--json").stdout)["kernels"]
        made[backend] = sorted({k["backend"] for k in kernels})
        if backend == "halide":
            seconds = generation_seconds(report.stdout + report.stderr) / len(kernels)
            price = seconds, code_bytes(artifact) / len(kernels)
    for _ in range(rounds):
        for backend in BACKENDS:
            run = ["bench", folder / f"{name}.{backend}.so", "--json", "--runs=20"]
            result = json.loads(attune(*run, f"--threads={threads}").stdout)
            best[backend] = min(best.get(backend, float("inf")), result["p10_ms"])
    return best, made, price


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="cases (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for threads in options.threads.split(","):
            print(f"{threads} threads, ms          mlir   halide     auto     s    KB  auto took")
            prices = []
            for name in options.names or CASES:
                try:
                    best, made, price = measure(name, options.rounds, threads, Path(folder))
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    print(f"{name:20} {error}")
                    continue
                times = " ".join(f"{best[b]:8.3f}" for b in BACKENDS)
                seconds, size = price
                prices.append(price)
                taken = ", ".join(made["auto"])
                print(f"{name:20} {times} {seconds:5.2f} {size / 1e3:5.1f}  {taken}", flush=True)
            if prices:
                seconds, size = map(statistics.median, zip(*prices, strict=True))
                print(f"median of a Halide kernel: {seconds:.2f} s, {size / 1e3:.1f} KB")


if __name__ == "__main__":
    main()
