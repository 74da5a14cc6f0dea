"""What the kernels of models cost on a GPU that is not at hand: registers and spills by ptxas, shared
memory and instructions by the PTX interpreter, occupancy by the rules of the architecture.

    python test/gpu/machine_code.py -o docs/generated/gpu-kernels.md    # scripts/docs.sh
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import attune_cli as cli  # noqa: E402

PTXAS = shutil.which("ptxas") or next(
    (str(p) for p in sorted(Path("/usr/local").glob("cuda*/bin/ptxas"))), None
)
WARP = 32


@dataclass
class Architecture:
    """What a multiprocessor has; the CUDA programming guide's table of compute capabilities."""

    capability: str  # ATTUNE_PTX_ARCH
    shared: int  # bytes, of which every block takes RESERVED
    warps: int = 64
    blocks: int = 32
    registers: int = 65536
    granule: int = 256  # registers that a warp gets at a time


RESERVED = 1024
ARCHITECTURES = {
    "sm_80": Architecture("80", 164 << 10),
    "sm_90a": Architecture("90", 228 << 10),
}


def occupancy(gpu, threads, registers, shared):
    """Warps that live at the same time, of those that could."""
    a = ARCHITECTURES[gpu]
    warps = -(-threads // WARP)
    of_warp = -(-registers * WARP // a.granule) * a.granule
    fitting = [a.blocks, a.warps // warps, a.shared // (shared + RESERVED)]
    if of_warp:
        fitting.append(a.registers // of_warp // warps)
    return min(fitting) * warps / a.warps


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


def random_inputs(model, sizes, rng):
    """Arrays by name; symbols without a size have 64."""
    feeds = {}
    for port in model.graph.input:
        shape = [
            sizes.get(d.dim_param, 64) if d.dim_param else d.dim_value
            for d in port.type.tensor_type.shape.dim
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        integers = np.issubdtype(dtype, np.integer)
        values = rng.integers(0, 2, shape) if integers else rng.normal(size=shape)
        feeds[port.name] = values.astype(dtype)
    return feeds


def launches(artifact, feeds, gpu, folder):
    """The interpreter's report of one call, a dictionary per launch."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    inputs = cli.write_inputs(folder / "inputs", feeds)
    environment = {
        "ATTUNE_CUDA_DRIVER": str(cli.BUILD / "lib" / "libattune_ptxemu.so"),
        "ATTUNE_PTX_ARCH": ARCHITECTURES[gpu].capability,
        "ATTUNE_PTX_REPORT": str(report),
    }
    cli.attune("run", artifact, "--inputs", inputs, env=os.environ | environment)
    return [json.loads(line) for line in report.read_text().splitlines()]


def rows(model, feeds, gpu, folder):
    """Per kernel that ran: name, emitter, threads, registers, shared, occupancy, spills, shares of
    warp instructions that are tensor-core products and that go to global memory."""
    onnx.save(model, folder / "model.onnx")
    flags = ("--target=cuda", f"--gpu={gpu}")
    artifact = cli.compile(folder / "model.onnx", folder / "model.so", *flags)
    text = cli.attune("compile", folder / "model.onnx", *flags, "--emit=ptx", "-o", "-").stdout
    emitters = {
        k["symbol"]: k["emitter"]
        for k in json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    }
    machine = {name: rest for name, *rest in assemble(text, gpu, folder)}
    ran, counts = {}, {}
    for launch in launches(artifact, feeds, gpu, folder):
        ran[launch["kernel"]] = launch
        of = counts.setdefault(launch["kernel"], Counter())
        of.update({k: v for k, v in launch.items() if k.startswith(("opcode:", "instructions"))})
    for name, launch in ran.items():
        used, static, stack, spilled = machine[name]
        threads, shared = int(np.prod(launch["block"])), max(static, launch["shared_bytes"])
        total = counts[name]["instructions"] or 1
        products = sum(counts[name][f"opcode:{op}"] for op in ("mma", "wgmma"))
        memory = sum(counts[name][f"opcode:{op}"] for op in ("ld", "st", "cp", "ldmatrix"))
        yield {
            "kernel": name,
            "emitter": emitters[name.rsplit("_", 1)[0]] or "gpu-loops",
            "threads": threads,
            "registers": used,
            "shared": shared,
            "occupancy": occupancy(gpu, threads, used, shared),
            "spills": spilled + stack,
            "products": products / total,
            "accesses": memory / total,
        }


HEADER = """# Kernels of `--target=cuda`

Registers and spills as `ptxas` reports them; shared memory, and shares of the warp instructions of one call, from the PTX interpreter;
occupancy: the share of a multiprocessor's warps that fit at the same time. Written by `test/gpu/machine_code.py`.

| model | GPU | kernel | emitter | threads | registers | shared | occupancy | spilled bytes | tensor cores | accesses |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def table(models):
    lines = [HEADER]
    for name, model, sizes in models:
        feeds = random_inputs(model, sizes, np.random.default_rng(9))
        for gpu in ARCHITECTURES:
            with tempfile.TemporaryDirectory() as folder:
                for r in rows(model, feeds, gpu, Path(folder)):
                    lines.append(
                        f"| {name} | {gpu} | {r['kernel']} | {r['emitter']} | {r['threads']} | "
                        f"{r['registers']} | {r['shared']} | {r['occupancy']:.0%} | {r['spills']} | "
                        f"{r['products']:.1%} | {r['accesses']:.1%} |\n"
                    )
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if not PTXAS:
        print("gpu-kernels.md is left out: no ptxas, which comes with the CUDA toolkit")
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
    import gpu_cases

    models = [
        (case.name, case.model, {n: s for n, s in _sizes(case)}) for case in gpu_cases.cases(True)
    ]
    options.output.write_text(table(models))


def _sizes(case):
    """The sizes of symbols that the case's inputs have."""
    for port in case.model.graph.input:
        for dim, extent in zip(port.type.tensor_type.shape.dim, case.feeds[port.name].shape):
            if dim.dim_param:
                yield dim.dim_param, extent


if __name__ == "__main__":
    main()
