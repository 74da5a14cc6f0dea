"""Configuration of the lit tests: IR and ONNX models (in ONNX text syntax), checked by FileCheck.

Tests name their tools without a folder. The tools of this build come first on the path, then those
of the LLVM installation (FileCheck, not, mlir-runner).
"""

import os
import sys

import lit.formats

config.name = "attune"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".mlir", ".onnxtxt"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.build_dir
config.environment["PATH"] = os.pathsep.join(
    [config.tools_dir, config.test_tools_dir, config.llvm_tools_dir, os.environ["PATH"]]
)
config.environment["ATTUNE_CALIBRATION"] = "none"  # not what this machine may have
config.environment["ATTUNE_TUNING"] = "none"
config.environment["FILECHECK_OPTS"] = "-enable-var-scope --dump-input=fail"
if config.with_halide:
    config.available_features.add("halide")
config.substitutions.append(("%python", sys.executable))
