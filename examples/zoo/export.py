"""Writes the blocks of this folder as ONNX, in the spellings of both of torch's exporters.

    pip install torch onnxscript onnx
    python examples/zoo/export.py --out DIR                 everything, tiny, with inputs and outputs
    python examples/zoo/export.py linear/causal_cumsum --out DIR --set width=512 --set heads=8
    python examples/zoo/export.py --cases bench/attention/cases.json --out bench/attention

One folder for each system, spelling and exporter: model.onnx, and a test_data_set_N for each of two
lengths (one where the length is fixed) in the layout of the ONNX test suites. With --cases: the graphs
of a bench, without weights.
"""

import argparse
import importlib
import json
import warnings
from dataclasses import fields, replace
from pathlib import Path

import onnx
import torch
from block import ZOO, Config
from onnx import numpy_helper
from weights import strip

SYSTEMS = (
    "softmax linear cosformer momentum luna couplformer mega rpe vicinity evolving eit sret shift "
    "lightconv"
)
for module in SYSTEMS.split():
    importlib.import_module(module)

# Name of the exporter's style to (exporter, opset). Opset 24 writes sdpa as one node.
# Up to opset 19, DFT has its axis as an attribute: not every runtime reads the later input.
STYLES = {
    "torchscript": (False, 17),
    "dynamo18": (True, 18),
    "dynamo": (True, 20),
    "native": (True, 24),
}


def styles_of(spelling):
    """The styles that can write a spelling, and differ for it."""
    names = ["dynamo"] if spelling.dynamo_only else ["torchscript", "dynamo"]
    return names + ["native"] * spelling.native


def export(module, x, path, style, fixed):
    dynamo, opset = STYLES[style]
    names = dict(input_names=["x"], output_names=["y"], opset_version=opset)
    if dynamo:
        axes = {0: torch.export.Dim.AUTO} if fixed else {n: torch.export.Dim.AUTO for n in (0, 1)}
        dims = {"dynamic_shapes": (axes,)}
        torch.onnx.export(module, (x,), path, dynamo=True, external_data=False, verbose=False,
                          **names, **dims)  # fmt: skip
    else:
        axes = {0: "batch"} if fixed else {0: "batch", 1: "length"}
        dims = {"dynamic_axes": {"x": axes, "y": axes}}
        torch.onnx.export(module, (x,), path, dynamo=False, **names, **dims)


def clean(model):
    """Drops stack traces and comments: they are large, and name the exporting machine's files."""
    for holder in [model, model.graph, *model.functions]:
        del holder.metadata_props[:]
        holder.ClearField("doc_string")
    parts = [*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]
    for part in parts + list(model.graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del model.graph.value_info[:]
    return model


def rename_dims(model, fixed):
    """The same names for the dynamic dims in every style."""
    for port in (*model.graph.input, *model.graph.output):
        dims = port.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        if not fixed:
            dims[1].dim_param = "length"
    return model


def write_data(folder, module, inputs):
    for number, x in enumerate(inputs):
        with torch.no_grad():
            y = module(x)
        data = folder / f"test_data_set_{number}"
        data.mkdir(parents=True, exist_ok=True)
        for name, value in (("input_0", x), ("output_0", y)):
            (data / f"{name}.pb").write_bytes(
                numpy_helper.from_array(value.numpy()).SerializeToString()
            )


def make(spelling, config):
    torch.manual_seed(0)
    return spelling.make(config).eval()


def write(system, name, config, out, styles=None):
    spelling = ZOO[system][name]
    module = make(spelling, config)
    step = getattr(config, spelling.multiple) if spelling.multiple else 1
    lengths = [config.length]
    if not spelling.fixed:
        lengths.append(config.length - step if step > 1 else config.length // 2 + 1)
    inputs = [torch.randn(2 + i, n, config.width) for i, n in enumerate(lengths)]
    for style in styles or styles_of(spelling):
        folder = out / system / f"{name}-{style}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        export(module, inputs[0], str(path), style, spelling.fixed)
        model = rename_dims(clean(onnx.load(path)), spelling.fixed)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        write_data(folder, module, inputs)


def write_cases(file, out):
    """One graph for each case that names a block; equal graphs are shared."""
    bench = json.loads(file.read_text())
    for case in bench["cases"]:
        path = out / f"{case.get('graph')}.onnx"
        if "block" not in case or path.exists():
            continue
        system, name = case["block"].split("/")
        spelling = ZOO[system][name]
        config = config_of({**bench["sizes"], **case.get("sizes", {})})
        module = make(spelling, config)
        x = torch.randn(2, config.length, config.width)
        export(module, x, str(path), case["style"], spelling.fixed)
        model = rename_dims(clean(onnx.load(path)), spelling.fixed)
        onnx.save(strip(model, module), path)
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB", flush=True)


def config_of(sizes):
    return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()})


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="system or system/spelling (default: all)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=Path, help="a bench's table of cases")
    parser.add_argument("--style", action="append", choices=STYLES)
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=N", help="a size of Config"
    )
    options = parser.parse_args()
    known = {f.name for f in fields(Config)}
    sizes = {}
    for item in options.set:
        field, _, value = item.partition("=")
        if field not in known:
            parser.error(f"no size {field}; sizes: {', '.join(sorted(known))}")
        parts = [int(v) for v in value.split("x")]
        sizes[field] = tuple(parts) if field == "grid" else parts[0]
    warnings.filterwarnings("ignore")
    if options.cases:
        return write_cases(options.cases, options.out)
    for system, spellings in ZOO.items():
        for name in spellings:
            if options.names and not {system, f"{system}/{name}"} & set(options.names):
                continue
            config = replace(Config(), **{**spellings[name].sizes, **sizes})
            write(system, name, config, options.out, options.style)
            print(f"{system}/{name}")


if __name__ == "__main__":
    main()
