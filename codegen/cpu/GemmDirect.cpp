#include "attune/codegen/cpu/GemmDirect.h"

#include "attune/codegen/cpu/GemmPack.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

bool isDirect(const GemmMatch &match) {
  constexpr int64_t most = 64; // terms: beyond, B is worth being packed
  std::optional<int64_t> depth = match.k.constant();
  return match.m.is(1) && depth && *depth <= most && match.columns == GemmColumns::Strided &&
         !match.product.bytes() && match.bColumns.back().stride.is(1);
}

namespace {

class Emitter {
public:
  Emitter(KernelBuilder &kb, const GemmSpec &spec) : kb(kb), spec(spec) {}

  void emit(ModuleOp module, StringRef symbol) {
    func::FuncOp task =
        kb.task(module, symbol.str() + "_sum", [&](const KernelArgs &args) { return run(args); });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      return kb.parallelFor(args, split(spec.bind(kb, args)).tasks, task);
    });
  }

private:
  static constexpr int64_t kTasks = 32, kPartColumns = 4096, kVectors = 4;

  /// Lines are columns that lie side by side; long ones fall into parts.
  struct Split {
    Value lines, parts, pieces, tasks; ///< lines of a batch; pieces and tasks of all
  };
  Split split(const GemmOperands &g) {
    Split s;
    s.lines = kb.idx(1);
    for (const GemmAxis &axis : ArrayRef(g.bColumns).drop_back())
      s.lines = kb.mul(s.lines, axis.extent);
    s.parts = kb.ceilDiv(g.bColumns.back().extent, kPartColumns);
    s.pieces = kb.mul(kb.mul(g.batch, s.lines), s.parts);
    s.tasks = kb.min(s.pieces, kb.idx(kTasks));
    return s;
  }

  Value run(const KernelArgs &args) {
    GemmOperands g = spec.bind(kb, args);
    Split s = split(g);
    Value first = kb.div(kb.mul(args.task, s.pieces), s.tasks);
    Value last = kb.div(kb.mul(kb.add(args.task, 1), s.pieces), s.tasks);
    kb.forLoop(first, last, 1, [&](Value piece) {
      Value line = kb.div(piece, s.parts), part = kb.rem(piece, s.parts);
      Value batch = kb.div(line, s.lines), outer = kb.rem(line, s.lines);
      Line l{batch,
             kb.mul(outer, g.bColumns.back().extent),
             kb.gep(g.a, g.aOffset(batch), kb.f32()),
             {}};
      Value start = axisOffset(kb, outer, ArrayRef(g.bColumns).drop_back());
      l.b = kb.gep(g.b, kb.add(g.bOffset(batch), start), kb.f32());
      Value from = kb.mul(part, kPartColumns);
      Value to = kb.min(kb.add(from, kPartColumns), g.bColumns.back().extent);
      int64_t lanes = kb.lanes();
      Value length = kb.sub(to, from);
      Value wide = kb.add(from, kb.mul(kb.div(length, kVectors * lanes), kVectors * lanes));
      Value whole = kb.add(from, kb.mul(kb.div(length, lanes), lanes));
      kb.forLoop(from, wide, kVectors * lanes, [&](Value at) { sums(g, l, at, kVectors, {}); });
      kb.forLoop(wide, whole, lanes, [&](Value at) { sums(g, l, at, 1, {}); });
      kb.ifThen(kb.lt(whole, to), [&] { sums(g, l, whole, 1, kb.sub(to, whole)); });
    });
    return g.status ? g.status() : Value();
  }

  struct Line {
    Value batch, column; ///< first column
    Value a, b;
  };

  /// Vectors of neighbouring columns from `at` on.
  void sums(const GemmOperands &g, const Line &line, Value at, int64_t vectors, Value partial) {
    int64_t lanes = kb.lanes();
    Values zero(vectors, kb.constF(0, kb.vec()));
    Values total = kb.forLoop(kb.idx(0), g.k, 1, zero, [&](Value k, ValueRange before) {
      Value weight = kb.splat(kb.load(kb.f32(), line.a, axisOffset(kb, k, g.aDepth)));
      Value place = kb.add(axisOffset(kb, k, g.bDepth), at);
      Values next;
      for (auto [v, sum] : llvm::enumerate(before)) {
        Value from = kb.add(place, v * lanes);
        Value x = partial ? kb.loadPartial(kb.vec(), line.b, from, partial)
                          : kb.load(kb.vec(), line.b, from);
        next.push_back(add(sum, weight, x));
      }
      return next;
    });
    for (auto [v, sum] : llvm::enumerate(total)) {
      Value column = kb.add(line.column, kb.add(at, v * lanes));
      g.epilogue(kb, {sum, line.batch, kb.idx(0), column, lanes, partial});
    }
  }

  Value add(Value sum, Value weight, Value x) {
    if (!spec.distance)
      return kb.fma(weight, x, sum);
    Value difference = arith::SubFOp::create(kb.b, kb.loc, x, weight);
    return arith::SubFOp::create(kb.b, kb.loc, sum, math::AbsFOp::create(kb.b, kb.loc, difference));
  }

  KernelBuilder &kb;
  const GemmSpec &spec;
};

} // namespace

void emitGemmDirect(KernelBuilder &kb, ModuleOp module, StringRef symbol, const GemmSpec &spec) {
  Emitter(kb, spec).emit(module, symbol);
}

} // namespace attune::codegen
