"""IREE for the host CPU, imported from ONNX; its compiler's default flags."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import iree.runtime as runtime
import numpy as np
import onnx


def version():
    return importlib.metadata.version("iree-base-runtime")


def compiled(model, work):
    module = Path(work) / f"{Path(model).stem}.vmfb"
    if not module.exists():
        import iree.compiler.tools as tools

        text = Path(work) / f"{Path(model).stem}.mlir"
        command = [
            sys.executable,
            "-m",
            "iree.compiler.tools.import_onnx",
            str(model),
            "-o",
            str(text),
        ]
        subprocess.run(command, check=True, capture_output=True)
        flags = ["--iree-llvmcpu-target-cpu=host"]
        tools.compile_file(
            str(text), target_backends=["llvm-cpu"], extra_args=flags, output_file=str(module)
        )
    return module


class Session:
    def __init__(self, model, threads, work):
        self.names = [i.name for i in onnx.load(model).graph.input]
        runtime.flags.parse_flags(f"--task_topology_max_group_count={threads}")
        config = runtime.Config("local-task" if threads > 1 else "local-sync")
        context = runtime.SystemContext(config=config)
        module = runtime.VmModule.mmap(config.vm_instance, str(compiled(model, work)))
        context.add_vm_module(module)
        names = [n for n in module.function_names if "$" not in n and not n.startswith("__")]
        self.function = context.modules[module.name][names[0]]
        self.device = config.device

    def bind(self, feeds):
        self.feeds = [runtime.asdevicearray(self.device, feeds[n]) for n in self.names]

    def run(self):
        results = self.function(*self.feeds)
        results = results if isinstance(results, (tuple, list)) else [results]
        return [np.asarray(r) for r in results]
