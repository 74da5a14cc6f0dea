#include "KernelHarness.h"

#include "attune/codegen/cpu/Lanes.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

using namespace attune;
using namespace attune::codegen;
using namespace attune::test;
using namespace mlir;

namespace {

/// One generic over one axis, through Scope, Views and Lanes, without tails.
struct OneGeneric : KernelEmitter {
  StringRef name() const override { return "one"; }
  bool matches(KernelOp op, const CpuTarget &) const override {
    Sizes sizes(op);
    auto generic = op.getYield()->getOperand(0).getDefiningOp<linalg::GenericOp>();
    return generic && Lanes::supports(*generic.getBody(), sizes);
  }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Sizes sizes(op);
    auto generic = op.getYield()->getOperand(0).getDefiningOp<linalg::GenericOp>();
    KernelBuilder kb(op.getLoc(), target);
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Scope scope(sizes, kb, args);
      Lanes lanes(scope, 4);
      Value rows = scope.extent(generic.getResult(0), 0);
      kb.forLoop(kb.idx(0), rows, 4, [&](Value i) {
        SmallVector<Lane> point{Lane::linear(i)}, operands;
        for (Value input : generic.getDpsInputs()) {
          View view = *readView(sizes, input);
          operands.push_back(lanes.load(getElementTypeOrSelf(input),
                                        scope.input(*sizes.inputNumber(view.root)),
                                        lanes.offset(view, point)));
        }
        auto results = *lanes.clone(*generic.getBody(), operands, point);
        lanes.store(results[0], scope.output(0), Lane::linear(i));
      });
      return lanes.error();
    });
    return EmittedKernel();
  }
};

constexpr const char *kGather = R"(
func.func @main(%x: tensor<?xi64>, %table: tensor<?xf32>, %n: index, %m: index) -> tensor<?xf32> {
  %0 = attune.kernel ins(%x, %table : tensor<?xi64>, tensor<?xf32>) dims(%n, %m) result_dims(%n)
      attributes {input_dims = array<i64: 0, 1>} -> tensor<?xf32> {
  ^bb0(%a: tensor<?xi64>, %t: tensor<?xf32>, %d: index, %e: index):
    %empty = tensor.empty(%d) : tensor<?xf32>
    %c0 = arith.constant 0 : index
    %ext = tensor.dim %t, %c0 : tensor<?xf32>
    %r = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
        iterator_types = ["parallel"]} ins(%a : tensor<?xi64>) outs(%empty : tensor<?xf32>) {
    ^bb1(%i: i64, %o: f32):
      %raw = arith.index_cast %i : i64 to index
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %neg = arith.cmpi slt, %raw, %zero : index
      %wrapped = arith.addi %raw, %ext : index
      %index = arith.select %neg, %wrapped, %raw : index
      %ge = arith.cmpi sge, %index, %zero : index
      %lt = arith.cmpi slt, %index, %ext : index
      %ok = arith.andi %ge, %lt : i1
      cf.assert %ok, "index out of range"
      %last = arith.subi %ext, %one : index
      %low = arith.maxsi %index, %zero : index
      %safe = arith.minsi %low, %last : index
      %v = tensor.extract %t[%safe] : tensor<?xf32>
      %pos = linalg.index 0 : index
      %posi = arith.index_cast %pos : index to i64
      %posf = arith.sitofp %posi : i64 to f32
      %s = arith.addf %v, %posf : f32
      linalg.yield %s : f32
    } -> tensor<?xf32>
    attune.yield %r : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}
)";

TEST(KernelHarness, GathersPerLane) {
  for (const CpuTarget &target : runnableTargets()) {
    Kernel kernel(kGather, OneGeneric(), target);
    ASSERT_TRUE(kernel.matched());
    Array index = Array::of("i64", {8}, {0, 2, -1, 1, 2, -3, 0, 1});
    Array table = Array::of("f32", {3}, {10, 20, 30});
    KernelRun run = kernel.run({index, table}, {8, 3});
    EXPECT_EQ(run.code, 0);
    EXPECT_EQ(error(run.outputs[0], Array::of("f32", {8}, {10, 31, 32, 23, 34, 15, 16, 27})), 0);

    index.set(5, 3);
    EXPECT_EQ(kernel.run({index, table}, {8, 3}).code, ATTUNE_KERNEL_INDEX_OUT_OF_RANGE);
    EXPECT_EQ(kernel.run({index, Array::zeros("f32", {0})}, {8, 0}).code,
              ATTUNE_KERNEL_INDEX_OUT_OF_RANGE);
  }
}

} // namespace
