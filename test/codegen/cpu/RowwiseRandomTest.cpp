// Random kernels of elementwise operators, reductions, norms, softmax and views: the row-wise
// emitter against the reference lowering. ATTUNE_FUZZ_SEED and ATTUNE_FUZZ_RUNS widen the search.
#include "KernelHarness.h"

#include <cstdlib>
#include <random>

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;

namespace {

struct Axis {
  int64_t extent;
  bool isStatic;
  std::string size; ///< the value of a dynamic extent inside the region
};

struct Tensor {
  std::string name, element;
  std::vector<int> axes;
  bool exact; ///< the same bits from every lowering
};

class RandomKernel {
public:
  explicit RandomKernel(unsigned seed) : random(seed) {
    int count = pick(1, 4);
    const int64_t extents[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 40};
    for (int i = 0; i < count; ++i) {
      bool isStatic = pick(0, 1);
      int64_t extent = extents[pick(0, 11)];
      if (!isStatic && pick(0, 30) == 0)
        extent = 0;
      axes.push_back({extent, isStatic, isStatic ? "" : "%d" + std::to_string(sizes.size())});
      if (!isStatic)
        sizes.push_back(extent);
    }
    int numInputs = pick(1, 3);
    for (int i = 0; i < numInputs; ++i)
      addInput();
    int numOps = pick(1, 8);
    for (int i = 0; i < numOps; ++i)
      addOp();
    finish();
  }

  std::string text;
  std::vector<Array> inputs;
  std::vector<int64_t> sizes;

private:
  std::mt19937 random;
  std::vector<Axis> axes;
  std::vector<Tensor> tensors;
  std::string arguments, operands, operandTypes, blockArguments, inputDims, body;
  int next = 0;

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }
  const Tensor &any() { return tensors[pick(0, tensors.size() - 1)]; }
  std::string fresh() { return "%v" + std::to_string(next++); }
  static std::string comma(const std::string &text) { return text.empty() ? "" : ", "; }

  std::string type(const std::vector<int> &shape, const std::string &element) {
    std::string text = "tensor<";
    for (int axis : shape)
      text += (axes[axis].isStatic ? std::to_string(axes[axis].extent) : "?") + "x";
    return text + element + ">";
  }
  std::string type(const Tensor &tensor) { return type(tensor.axes, tensor.element); }

  std::string empty(const std::vector<int> &shape, const std::string &element) {
    std::string name = fresh(), dynamic;
    for (int axis : shape)
      if (!axes[axis].isStatic)
        dynamic += comma(dynamic) + axes[axis].size;
    body += "  " + name + " = tensor.empty(" + dynamic + ") : " + type(shape, element) + "\n";
    return name;
  }

  void addInput() {
    std::string number = std::to_string(inputs.size());
    std::vector<int> shape;
    std::vector<int64_t> extents;
    for (int axis = 0, count = axes.size(); axis < count; ++axis) {
      int choice = pick(0, 5);
      if (choice == 0)
        continue;
      if (choice == 1) {
        axes.push_back({1, true, ""});
        shape.push_back(axes.size() - 1);
      } else {
        shape.push_back(axis);
      }
    }
    if (pick(0, 3) == 0)
      std::shuffle(shape.begin(), shape.end(), random);
    for (int axis : shape)
      extents.push_back(axes[axis].extent);
    const char *elements[] = {"f32", "f32", "f32", "i64", "i1", "f64", "f16", "i32"};
    std::string element = elements[pick(0, 7)];
    inputs.push_back(Array::random(element, extents, random(), element == "i1" ? 0 : -2,
                                   element == "i1" ? 2 : 3));
    Tensor tensor{"%a" + number, element, shape, true};
    arguments += comma(arguments) + "%x" + number + ": " + type(tensor);
    operands += comma(operands) + "%x" + number;
    operandTypes += comma(operandTypes) + type(tensor);
    blockArguments += comma(blockArguments) + tensor.name + ": " + type(tensor);
    for (int axis : shape)
      if (!axes[axis].isStatic)
        inputDims += comma(inputDims) + axes[axis].size.substr(2);
    tensors.push_back(tensor);
  }

  /// Code that makes `value` of type `element` an f32.
  std::string toFloat(const std::string &value, const std::string &element) {
    if (element == "f32")
      return value;
    std::string name = fresh();
    std::string op = element == "f64"   ? "truncf"
                     : element == "f16" ? "extf"
                     : element == "i1"  ? "uitofp"
                                        : "sitofp";
    body += "    " + name + " = arith." + op + " " + value + " : " + element + " to f32\n";
    return name;
  }

  std::string binary(const std::string &op, const std::string &x, const std::string &y,
                     const std::string &element = "f32") {
    std::string name = fresh();
    body += "    " + name + " = " + op + " " + x + ", " + y + " : " + element + "\n";
    return name;
  }
  std::string constant(const std::string &value, const std::string &element = "f32") {
    std::string name = fresh();
    body += "    " + name + " = arith.constant " + value + " : " + element + "\n";
    return name;
  }
  std::string unary(const std::string &op, const std::string &x) {
    std::string name = fresh();
    body += "    " + name + " = " + op + " " + x + " : f32\n";
    return name;
  }
  std::string bounded(const std::string &x) {
    return binary("arith.minimumf", binary("arith.maximumf", x, constant("-4.0")), constant("4.0"));
  }

  void addMap() {
    std::vector<Tensor> sources;
    for (int i = pick(1, 3); i > 0; --i)
      sources.push_back(any());
    std::vector<int> loops;
    for (const Tensor &source : sources)
      for (int axis : source.axes)
        if (!llvm::is_contained(loops, axis) && (axes[axis].extent != 1 || !axes[axis].isStatic))
          loops.push_back(axis);
    if (loops.size() > 5)
      return;
    if (pick(0, 4) == 0)
      std::shuffle(loops.begin(), loops.end(), random);
    bool exact = llvm::all_of(sources, [](const Tensor &t) { return t.exact; });
    std::string element = "f32";
    if (exact && pick(0, 3) == 0)
      element = pick(0, 1) ? "i64" : "i1";
    else if (pick(0, 6) == 0)
      element = "f64";
    std::string init = empty(loops, element), result = fresh(), dims, maps, values, types, block;
    for (size_t i = 0; i < loops.size(); ++i)
      dims += comma(dims) + "l" + std::to_string(i);
    std::vector<std::string> names;
    for (const Tensor &source : sources) {
      std::string map;
      for (int axis : source.axes) {
        auto it = llvm::find(loops, axis);
        map += comma(map) + (it == loops.end() ? "0" : "l" + std::to_string(it - loops.begin()));
      }
      maps += "affine_map<(" + dims + ") -> (" + map + ")>, ";
      values += comma(values) + source.name;
      types += comma(types) + type(source);
      names.push_back(fresh());
      block += names.back() + ": " + source.element + ", ";
    }
    std::string iterators;
    for (size_t i = 0; i < loops.size(); ++i)
      iterators += comma(iterators) + "\"parallel\"";
    body += "  " + result + " = linalg.generic {indexing_maps = [" + maps + "affine_map<(" + dims +
            ") -> (" + dims + ")>], iterator_types = [" + iterators + "]} ins(" + values + " : " +
            types + ") outs(" + init + " : " + type(loops, element) + ") {\n  ^bb0(" + block +
            fresh() + ": " + element + "):\n";
    std::string value;
    for (size_t i = 0; i < sources.size(); ++i) {
      std::string x = toFloat(names[i], sources[i].element);
      const char *ops[] = {"arith.addf", "arith.subf", "arith.mulf", "arith.maximumf"};
      value = value.empty() ? x : binary(ops[pick(0, 3)], value, x);
    }
    if (!loops.empty() && pick(0, 4) == 0) {
      std::string index = fresh(), wide = fresh(), number = fresh();
      body += "    " + index + " = linalg.index " + std::to_string(pick(0, loops.size() - 1)) +
              " : index\n    " + wide + " = arith.index_cast " + index + " : index to i64\n    " +
              number + " = arith.sitofp " + wide + " : i64 to f32\n";
      value = binary("arith.addf", value, binary("arith.mulf", number, constant("0.125")));
    }
    if (element == "i1") {
      std::string name = fresh(), bound = constant("0.5");
      body += "    " + name + " = arith.cmpf ogt, " + value + ", " + bound + " : f32\n";
      value = name;
    } else if (element == "i64") {
      std::string name = fresh();
      body += "    " + name + " = arith.fptosi " + value + " : f32 to i64\n";
      value = name;
      if (pick(0, 2) == 0)
        value = binary("arith.floordivsi", value, constant("3", "i64"), "i64");
    } else {
      int choice = pick(0, 6);
      value = bounded(value);
      exact = false;
      if (choice == 0)
        value = unary("math.exp", value);
      else if (choice == 1)
        value = unary("math.tanh", value);
      else if (choice == 2)
        value = unary("math.erf", value);
      if (element == "f64") {
        std::string name = fresh();
        body += "    " + name + " = arith.extf " + value + " : f32 to f64\n";
        value = name;
      }
    }
    body +=
        "    linalg.yield " + value + " : " + element + "\n  } -> " + type(loops, element) + "\n";
    tensors.push_back({result, element, loops, exact});
  }

  void addReduce() {
    Tensor source = any();
    if (source.axes.empty())
      return;
    std::vector<int> kept;
    std::string dims, map, iterators;
    bool reduces = false;
    for (size_t i = 0; i < source.axes.size(); ++i) {
      bool reduced = pick(0, 1) || (!reduces && i + 1 == source.axes.size());
      reduces |= reduced;
      dims += comma(dims) + "l" + std::to_string(i);
      iterators += comma(iterators) + (reduced ? "\"reduction\"" : "\"parallel\"");
      if (!reduced) {
        map += comma(map) + "l" + std::to_string(i);
        kept.push_back(source.axes[i]);
      }
    }
    bool sum = pick(0, 1);
    std::string zero = fresh(), result = fresh(), x = fresh(), acc = fresh();
    body += "  " + zero + " = arith.constant " + (sum ? "0.0" : "0xFF800000") + " : f32\n";
    std::string init = empty(kept, "f32"), filled = fresh();
    std::string out = type(kept, "f32");
    body += "  " + filled + " = linalg.fill ins(" + zero + " : f32) outs(" + init + " : " + out +
            ") -> " + out + "\n";
    body += "  " + result + " = linalg.generic {indexing_maps = [affine_map<(" + dims + ") -> (" +
            dims + ")>, affine_map<(" + dims + ") -> (" + map + ")>], iterator_types = [" +
            iterators + "]} ins(" + source.name + " : " + type(source) + ") outs(" + filled +
            " : " + out + ") {\n  ^bb0(" + x + ": " + source.element + ", " + acc + ": f32):\n";
    std::string value = toFloat(x, source.element);
    if (sum)
      value = binary("arith.mulf", value, constant("0.25"));
    value = binary(sum ? "arith.addf" : "arith.maximumf", acc, value);
    body += "    linalg.yield " + value + " : f32\n  } -> " + out + "\n";
    tensors.push_back({result, "f32", kept, false});
  }

  void addTranspose() {
    Tensor source = any();
    if (source.axes.size() < 2)
      return;
    std::vector<int> order(source.axes.size()), shape;
    for (size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    std::string permutation;
    for (int axis : order) {
      shape.push_back(source.axes[axis]);
      permutation += comma(permutation) + std::to_string(axis);
    }
    std::string init = empty(shape, source.element), result = fresh();
    body += "  " + result + " = linalg.transpose ins(" + source.name + " : " + type(source) +
            ") outs(" + init + " : " + type(shape, source.element) + ") permutation = [" +
            permutation + "]\n";
    tensors.push_back({result, source.element, shape, source.exact});
  }

  void addSoftmax() {
    Tensor source = any();
    if (source.axes.empty() || source.element != "f32")
      return;
    std::string init = empty(source.axes, "f32"), result = fresh();
    body += "  " + result + " = linalg.softmax dimension(" +
            std::to_string(pick(0, source.axes.size() - 1)) + ") ins(" + source.name + " : " +
            type(source) + ") outs(" + init + " : " + type(source) + ") -> " + type(source) + "\n";
    tensors.push_back({result, "f32", source.axes, false});
  }

  void addNorm() {
    Tensor source = any();
    if (source.axes.empty() || source.element != "f32")
      return;
    std::string result = fresh();
    body += "  " + result + " = attune.norm ins(" + source.name + " : " + type(source) +
            ") {axis = " + std::to_string(pick(0, source.axes.size() - 1)) +
            " : i64, eps = 1.0e-2 : f64, kind = #attune.norm_kind<" +
            (pick(0, 1) ? "layer" : "rms") + ">} -> " + type(source) + "\n";
    tensors.push_back({result, "f32", source.axes, false});
  }

  /// A new axis of the extent of `axis` times `factor` plus `more`.
  int derivedAxis(int axis, int64_t factor, int64_t more) {
    Axis made{axes[axis].extent * factor + more, axes[axis].isStatic, ""};
    if (!made.isStatic) {
      std::string f = fresh(), m = fresh(), scaled = fresh();
      made.size = fresh();
      body += "  " + f + " = arith.constant " + std::to_string(factor) + " : index\n  " + m +
              " = arith.constant " + std::to_string(more) + " : index\n  " + scaled +
              " = arith.muli " + axes[axis].size + ", " + f + " : index\n  " + made.size +
              " = arith.addi " + scaled + ", " + m + " : index\n";
    }
    axes.push_back(made);
    return axes.size() - 1;
  }

  void addSlice() {
    Tensor source = any();
    if (source.axes.empty())
      return;
    int at = pick(0, source.axes.size() - 1);
    int64_t extent = axes[source.axes[at]].extent;
    if (!axes[source.axes[at]].isStatic || extent < 3)
      return;
    int64_t step = pick(1, 2), start = pick(0, 1), count = (extent - start) / step;
    std::vector<int> shape = source.axes;
    axes.push_back({count, true, ""});
    shape[at] = axes.size() - 1;
    std::string offsets, counts, strides, result = fresh();
    for (size_t i = 0; i < shape.size(); ++i) {
      const Axis &axis = axes[shape[i]];
      bool here = static_cast<int>(i) == at;
      offsets += comma(offsets) + std::to_string(here ? start : 0);
      counts += comma(counts) + (axis.isStatic ? std::to_string(axis.extent) : axis.size);
      strides += comma(strides) + std::to_string(here ? step : 1);
    }
    body += "  " + result + " = tensor.extract_slice " + source.name + "[" + offsets + "] [" +
            counts + "] [" + strides + "] : " + type(source) + " to " +
            type(shape, source.element) + "\n";
    tensors.push_back({result, source.element, shape, source.exact});
  }

  void addPad() {
    Tensor source = any();
    if (source.axes.empty() || source.element != "f32")
      return;
    int at = pick(0, source.axes.size() - 1);
    int64_t low = pick(0, 2), high = pick(0, 2);
    std::vector<int> shape = source.axes;
    shape[at] = derivedAxis(shape[at], 1, low + high);
    std::string lows, highs, indices, result = fresh(), value = fresh();
    for (size_t i = 0; i < shape.size(); ++i) {
      bool here = static_cast<int>(i) == at;
      lows += comma(lows) + std::to_string(here ? low : 0);
      highs += comma(highs) + std::to_string(here ? high : 0);
      indices += comma(indices) + fresh() + ": index";
    }
    body += "  " + value + " = arith.constant 0.5 : f32\n  " + result + " = tensor.pad " +
            source.name + " low[" + lows + "] high[" + highs + "] {\n  ^bb0(" + indices +
            "):\n    tensor.yield " + value + " : f32\n  } : " + type(source) + " to " +
            type(shape, "f32") + "\n";
    tensors.push_back({result, "f32", shape, source.exact});
  }

  void addConcat() {
    Tensor x = any(), y = any();
    if (x.axes.empty() || x.axes != y.axes || x.element != y.element)
      return;
    int at = pick(0, x.axes.size() - 1);
    std::vector<int> shape = x.axes;
    shape[at] = derivedAxis(shape[at], 2, 0);
    std::string result = fresh();
    body += "  " + result + " = tensor.concat dim(" + std::to_string(at) + ") " + x.name + ", " +
            y.name + " : (" + type(x) + ", " + type(y) + ") -> " + type(shape, x.element) + "\n";
    tensors.push_back({result, x.element, shape, x.exact && y.exact});
  }

  void addCollapse() {
    Tensor source = any();
    if (source.axes.size() < 2 || !axes[source.axes[0]].isStatic || !axes[source.axes[1]].isStatic)
      return;
    axes.push_back({axes[source.axes[0]].extent * axes[source.axes[1]].extent, true, ""});
    std::vector<int> shape{static_cast<int>(axes.size()) - 1};
    std::string groups = "[0, 1]", result = fresh();
    for (size_t i = 2; i < source.axes.size(); ++i) {
      shape.push_back(source.axes[i]);
      groups += ", [" + std::to_string(i) + "]";
    }
    body += "  " + result + " = tensor.collapse_shape " + source.name + " [" + groups +
            "] : " + type(source) + " into " + type(shape, source.element) + "\n";
    tensors.push_back({result, source.element, shape, source.exact});
  }

  void addOp() {
    switch (pick(0, 12)) {
    case 0:
      return addReduce();
    case 1:
      return addTranspose();
    case 2:
      return addSoftmax();
    case 3:
      return addNorm();
    case 4:
      return addSlice();
    case 5:
      return addPad();
    case 6:
      return addConcat();
    case 7:
      return addCollapse();
    case 8:
      return addReduce();
    default:
      return addMap();
    }
  }

  void finish() {
    std::vector<Tensor> results;
    for (int i = pick(1, 2); i > 0; --i)
      results.push_back(
          tensors[tensors.size() - 1 - pick(0, std::min<int>(tensors.size() - 1, 1))]);
    std::string names, types, extents;
    std::vector<std::string> hostSizes;
    for (const Tensor &result : results) {
      names += comma(names) + result.name;
      types += comma(types) + type(result);
      for (int axis : result.axes)
        if (!axes[axis].isStatic) {
          // Sizes that the region derives are index arguments of the function as well.
          std::string name = "%r" + std::to_string(hostSizes.size());
          hostSizes.push_back(name);
          derived.push_back(axes[axis].extent);
          extents += comma(extents) + name;
        }
    }
    std::string dims, blockDims = blockArguments;
    for (size_t i = 0; i < sizes.size(); ++i) {
      arguments += comma(arguments) + "%n" + std::to_string(i) + ": index";
      dims += comma(dims) + "%n" + std::to_string(i);
      blockDims += comma(blockDims) + "%d" + std::to_string(i) + ": index";
    }
    for (const std::string &name : hostSizes) {
      arguments += comma(arguments) + name + ": index";
      dims += comma(dims) + name;
      blockDims += comma(blockDims) + fresh() + ": index";
    }
    sizes.insert(sizes.end(), derived.begin(), derived.end());
    text = "func.func @main(" + arguments + ") {\n  %k:" + std::to_string(results.size()) +
           " = attune.kernel ins(" + operands + " : " + operandTypes + ")" +
           (dims.empty() ? "" : " dims(" + dims + ")") +
           (extents.empty() ? "" : " result_dims(" + extents + ")") +
           " attributes {input_dims = array<i64" + (inputDims.empty() ? "" : ": ") + inputDims +
           ">} -> " + types + " {\n  ^bb0(" + blockDims + "):\n" + body + "  attune.yield " +
           names + " : " + types + "\n  }\n  return\n}\n";
  }
  std::vector<int64_t> derived;
};

TEST(RowwiseRandom, AgreesWithTheReferenceLowering) {
  const char *first = std::getenv("ATTUNE_FUZZ_SEED"), *runs = std::getenv("ATTUNE_FUZZ_RUNS");
  unsigned seed = first ? std::atoi(first) : 1, count = runs ? std::atoi(runs) : 24, taken = 0;
  std::vector<CpuTarget> targets = runnableTargets();
  for (unsigned i = seed; i < seed + count; ++i) {
    RandomKernel random(i);
    SCOPED_TRACE("seed " + std::to_string(i));
    Kernel kernel(random.text, *createRowwiseEmitter(), targets[i % targets.size()]);
    if (!kernel.matched())
      continue;
    ++taken;
    Kernel reference(random.text, *createLoopsEmitter(), targets[0]);
    ASSERT_TRUE(reference.matched());
    KernelRun got = kernel.run(random.inputs, random.sizes, 2);
    KernelRun expected = reference.run(random.inputs, random.sizes);
    EXPECT_EQ(got.code, 0);
    for (size_t out = 0; out < got.outputs.size(); ++out)
      EXPECT_LE(error(got.outputs[out], expected.outputs[out]), 1e-3) << "output " << out << " of\n"
                                                                      << random.text;
    if (testing::Test::HasFailure())
      return;
  }
  EXPECT_GE(taken, count / 2) << "the generator makes too little that the emitter takes";
}

} // namespace
