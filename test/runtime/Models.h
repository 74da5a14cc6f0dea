//===- Models.h - Metadata of the tests' models -----------------------------------------------===//
#ifndef ATTUNE_TEST_RUNTIME_MODELS_H
#define ATTUNE_TEST_RUNTIME_MODELS_H

namespace attune::test {

/// y[batch] = row sums of (x[batch, 3] * weight + 1); the weights are 1, 2, 3. The product is an
/// intermediate result; output `scaled` is a copy of it.
inline constexpr char kScale[] = R"({
  "format": 1, "compiler": "by hand", "cpu": "any", "model": "scale",
  "inputs": [{"name": "x", "dtype": "f32", "value": 0, "shape": ["batch", 3]}],
  "outputs": [{"name": "y", "dtype": "f32", "value": 3, "shape": ["batch"]},
              {"name": "scaled", "dtype": "f32", "value": 4, "shape": ["batch", 3]}],
  "scalars": [["const", 3], ["dim", 0, 0], ["mul", 0, 1], ["const", 4], ["mul", 2, 3]],
  "values": [{"kind": "input", "index": 0, "dtype": "f32", "shape": [1, 0]},
             {"kind": "weight", "offset": 0, "bytes": 12, "dtype": "f32", "shape": [0]},
             {"kind": "arena", "slot": 0, "dtype": "f32", "shape": [1, 0], "bytes": 4},
             {"kind": "output", "index": 0, "dtype": "f32", "shape": [1]},
             {"kind": "output", "index": 1, "dtype": "f32", "shape": [1, 0]}],
  "slots": [[4]],
  "kernels": [{"symbol": "scale", "name": "scale", "emitter": "test", "backend": "mlir", "hash": "1",
               "nodes": ["/mul", "/add"]},
              {"symbol": "sumRows", "name": "sum", "nodes": ["/sum"]}],
  "steps": [{"kernel": 0, "buffers": [0, 1, 2], "dims": [1, 0], "flops": 2, "bytes": 4},
            {"kernel": 1, "buffers": [2, 3], "dims": [1, 0]},
            {"copy": [2, 4], "bytes": 4}]
})";

/// y[n] = x[index[n]] of a table x[m]; both inputs share symbol `n` when `tied`.
inline constexpr char kGather[] = R"({
  "format": 1, "compiler": "by hand", "cpu": "any", "model": "gather",
  "inputs": [{"name": "x", "dtype": "f32", "value": 0, "shape": ["m"]},
             {"name": "index", "dtype": "i64", "value": 1, "shape": ["n"]},
             {"name": "same", "dtype": "f32", "value": 2, "shape": ["n"]}],
  "outputs": [{"name": "y", "dtype": "f32", "value": 3, "shape": ["n"]}],
  "scalars": [["dim", 0, 0], ["dim", 1, 0], ["const", 100], ["le", 1, 2]],
  "checks": [{"scalar": 3, "message": "input `index`: at most 100 indices"}],
  "values": [{"kind": "input", "index": 0, "dtype": "f32", "shape": [0]},
             {"kind": "input", "index": 1, "dtype": "i64", "shape": [1]},
             {"kind": "input", "index": 2, "dtype": "f32", "shape": [1]},
             {"kind": "output", "index": 0, "dtype": "f32", "shape": [1]}],
  "slots": [],
  "kernels": [{"symbol": "gather", "name": "gather", "nodes": ["/embed/Gather"]}],
  "steps": [{"kernel": 0, "buffers": [0, 1, 3], "dims": [1, 0]}]
})";

/// y[count] = the positive elements of x[n]: the size of the result depends on data.
inline constexpr char kCompact[] = R"({
  "format": 1, "compiler": "by hand", "cpu": "any", "model": "compact",
  "inputs": [{"name": "x", "dtype": "f32", "value": 0, "shape": ["n"]}],
  "outputs": [{"name": "y", "dtype": "f32", "value": 3, "shape": ["count"]}],
  "scalars": [["dim", 0, 0], ["const", 8], ["loaded"], ["const", 4], ["mul", 2, 3], ["const", 1],
              ["const", 6], ["le", 2, 6]],
  "checks": [{"scalar": 7, "message": "more than 6 elements are positive"}],
  "values": [{"kind": "input", "index": 0, "dtype": "f32", "shape": [0]},
             {"kind": "arena", "slot": 0, "dtype": "i64", "shape": [5], "bytes": 1},
             {"kind": "dynamic", "dtype": "f32", "shape": [2], "bytes": 4},
             {"kind": "output", "index": 0, "dtype": "f32", "shape": [2]}],
  "slots": [[1]],
  "kernels": [{"symbol": "countPositive", "name": "count", "nodes": []},
              {"symbol": "compact", "name": "compact", "nodes": []}],
  "steps": [{"kernel": 0, "buffers": [0, 1], "dims": [0]},
            {"load": 1, "index": 0, "scalar": 2},
            {"kernel": 1, "buffers": [0, 2], "dims": [0]},
            {"copy": [2, 3], "bytes": 4}]
})";

/// present[2, past + more, 2] = past[2, past, 2] ++ add[2, more, 2], in place where possible.
inline constexpr char kAppend[] = R"({
  "format": 1, "compiler": "by hand", "cpu": "any", "model": "append",
  "inputs": [{"name": "past", "dtype": "f32", "value": 0, "shape": ["heads", "past", 2]},
             {"name": "add", "dtype": "f32", "value": 1, "shape": ["heads", "more", 2]}],
  "outputs": [{"name": "present", "dtype": "f32", "value": 2, "shape": ["heads", "total", 2]}],
  "aliases": [{"input": 0, "output": 0, "axis": 1}],
  "scalars": [["dim", 0, 0], ["dim", 0, 1], ["dim", 1, 1], ["const", 2], ["add", 1, 2],
              ["in_capacity", 0, 1], ["out_capacity", 0, 4]],
  "values": [{"kind": "input", "index": 0, "dtype": "f32", "shape": [0, 1, 3]},
             {"kind": "input", "index": 1, "dtype": "f32", "shape": [0, 2, 3]},
             {"kind": "output", "index": 0, "dtype": "f32", "shape": [0, 4, 3]}],
  "slots": [],
  "kernels": [{"symbol": "append", "name": "append", "nodes": ["/Concat"]}],
  "steps": [{"kernel": 0, "buffers": [0, 1, 2], "dims": [0, 1, 2, 3, 5, 6]}]
})";

/// y[1] = product of x[n].
inline constexpr char kProduct[] = R"({
  "format": 1, "compiler": "by hand", "cpu": "any", "model": "product",
  "inputs": [{"name": "x", "dtype": "f32", "value": 0, "shape": ["n"]}],
  "outputs": [{"name": "y", "dtype": "f32", "value": 1, "shape": [1]}],
  "scalars": [["dim", 0, 0], ["const", 1]],
  "values": [{"kind": "input", "index": 0, "dtype": "f32", "shape": [0]},
             {"kind": "output", "index": 0, "dtype": "f32", "shape": [1]}],
  "slots": [],
  "kernels": [{"symbol": "product", "name": "product", "nodes": []}],
  "steps": [{"kernel": 0, "buffers": [0, 1], "dims": [0]}]
})";

} // namespace attune::test
#endif
