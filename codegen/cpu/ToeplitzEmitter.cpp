//===- ToeplitzEmitter.cpp - Toeplitz products along a sequence, direct form ------------------===//
//
// A task is a batch, one vector of channels and some rows. Input and coefficients of these channels
// are packed first, so that neighbouring positions are neighbours in memory; then tiles of rows
// times positions are multiplied, where one coefficient serves a whole diagonal of a tile:
//
//   for d in -(S-1) .. T-1:   c = coeffs[n - m + d];   for j - i = d:  sum[j] += c * x[i]
//
// Positions without coefficient are never touched: their input, NaN or not, does not count.
//
//===--------------------------------------------------------------------------------------------===//
#include "attune/codegen/cpu/Emitter.h"
#include "attune/codegen/cpu/PointEpilogue.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// Row tiles of a task: packing costs little against them.
constexpr int64_t kRowTiles = 64;

struct Plan {
  explicit Plan(KernelOp kernel) : sizes(kernel) {}
  bool read();

  Sizes sizes;
  ToeplitzOp op;
  std::optional<PointEpilogue> epilogue;
};

bool Plan::read() {
  KernelOp kernel = sizes.kernel;
  for (auto found : kernel.getBody().front().getOps<ToeplitzOp>()) {
    if (op)
      return false;
    op = found;
  }
  if (!op || !sizes.extents(op.getInput()) || !sizes.extents(op.getCoeffs()) ||
      !cast<RankedTensorType>(op.getResult().getType()).getElementType().isF32())
    return false;
  if (!llvm::all_of(op->getOperands(),
                    [&](Value operand) { return isReadableF32(sizes, operand); }))
    return false;
  epilogue = PointEpilogue::match(sizes, op.getResult());
  return epilogue.has_value();
}

class Product {
public:
  Product(const Plan &plan, KernelBuilder &kb, const KernelArgs &args)
      : plan(plan), kb(kb), scope(plan.sizes, kb, args), lanes(scope, kb.lanes()), op(plan.op),
        tile(tileRows(kb.target)) {}

  Value run();
  bool broken = false;

  /// Sums, a tile of inputs and one coefficient stay in registers.
  static int64_t tileRows(const CpuTarget &target) { return target.registers >= 32 ? 8 : 6; }

private:
  void compute();
  void pack(Value tensor, ArrayRef<Lane> prefix, bool channels, Value from, Value to, Value into);
  void rows(Value row, int64_t count);
  Value input(Value m) {
    if (std::optional<double> splat = splatValue(op.getInput()))
      return kb.constF(*splat, kb.vec());
    return kb.load(kb.vec(), packedInput, kb.mul(m, lanes.count));
  }
  Value coefficient(Value t);
  Values triangle(Values sums, Value row, Value first, bool below, Value nothing, Value whole,
                  llvm::function_ref<Values()> general);
  Values single(Values sums, int64_t j, Value row, Value from, Value to);

  const Plan &plan;
  KernelBuilder &kb;
  Scope scope;
  Lanes lanes;
  ToeplitzOp op;
  int64_t tile;
  Value batch, channel, taps, inputs, shift, packedInput, packedCoeffs;
};

/// Positions [from, to) of these channels, one vector each, at the same positions of `into`.
void Product::pack(Value tensor, ArrayRef<Lane> prefix, bool channels, Value from, Value to,
                   Value into) {
  if (splatValue(tensor))
    return;
  View view = *readView(plan.sizes, tensor);
  Value base = scope.input(*plan.sizes.inputNumber(view.root));
  kb.forLoop(from, to, 1, [&](Value position) {
    SmallVector<Lane> point(prefix);
    point.push_back(Lane(position));
    if (channels)
      point.push_back(Lane::linear(channel));
    Lane value = lanes.load(kb.f32(), base, lanes.offset(view, point), /*constant=*/true);
    kb.store(lanes.vector(value), into, kb.mul(position, lanes.count));
  });
}

/// c(n - m) for t = n - m + shift.
Value Product::coefficient(Value t) {
  if (std::optional<double> splat = splatValue(op.getCoeffs()))
    return kb.constF(*splat, kb.vec());
  if (op.hasChannelCoeffs())
    return kb.load(kb.vec(), packedCoeffs, kb.mul(t, lanes.count));
  View view = *readView(plan.sizes, op.getCoeffs());
  Value base = scope.input(*plan.sizes.inputNumber(view.root));
  return lanes.vector(lanes.load(kb.f32(), base, lanes.offset(view, {Lane(t)}), true));
}

/// Positions [from, to) of one row only.
Values Product::single(Values sums, int64_t j, Value row, Value from, Value to) {
  sums[j] = kb.forLoop(from, to, 1, {sums[j]}, [&](Value m, ValueRange sum) {
    Value t = kb.add(kb.sub(kb.add(row, j), m), shift);
    return Values{kb.fma(coefficient(t), input(m), sum[0])};
  })[0];
  return sums;
}

/// The positions from `first` on that only the rows before (`below`) or after a diagonal see,
/// without loops where the kernel covers the triangle and `whole` holds. `nothing`: no row sees
/// any.
Values Product::triangle(Values sums, Value row, Value first, bool below, Value nothing,
                         Value whole, llvm::function_ref<Values()> general) {
  int64_t count = sums.size();
  if (count == 1)
    return sums;
  SmallVector<Type> types(count, kb.vec());
  auto unrolled = [&] {
    Values result(sums), x;
    for (int64_t i = 0; i < count - 1; ++i)
      x.push_back(input(kb.add(first, i)));
    // Row j sees position i where 0 <= j - i - 1, or i - j >= 0 below.
    for (int64_t d = 0; d < count - 1; ++d) {
      Value start = kb.sub(row, first);
      Value c = coefficient(kb.add(kb.add(start, below ? -d : d + 1), shift));
      for (int64_t i = 0; i < count - 1; ++i)
        if (int64_t j = below ? i - d : i + d + 1; j >= 0 && j < count)
          result[j] = kb.fma(c, x[i], result[j]);
    }
    return result;
  };
  Value covered = kb.lt(kb.idx(count - 1), taps);
  if (whole)
    covered = arith::AndIOp::create(kb.b, kb.loc, covered, whole);
  auto some = [&] { return kb.ifElse(covered, types, unrolled, general); };
  return nothing ? kb.ifElse(nothing, types, [&] { return sums; }, some) : some();
}

void Product::rows(Value row, int64_t count) {
  Values sums(count, kb.constF(0, kb.vec()));
  Value zero = kb.idx(0), low = zero, high = inputs;
  auto lowest = [&](int64_t j) { return kb.max(zero, kb.sub(kb.add(row, j + 1), taps)); };
  if (op.isCausal()) {
    // What all rows share lies in [low, high); the rest of each row lies around it.
    high = kb.add(row, 1);
    low = kb.min(lowest(count - 1), high);
    // All rows begin at 0, or each one later than the row before.
    Value shared = kb.lt(kb.add(row, count - 1), taps);
    Value stepped = kb.lt(kb.sub(taps, kb.idx(2)), row);
    sums = triangle(sums, row, kb.add(kb.sub(row, taps), 1), /*below=*/true, shared, stepped, [&] {
      Values result(sums);
      for (int64_t j = 0; j < count - 1; ++j)
        result = single(result, j, row, lowest(j), low);
      return result;
    });
  }
  Value blocks = kb.add(low, kb.mul(kb.div(kb.sub(high, low), count), count));
  sums = kb.forLoop(low, blocks, count, sums, [&](Value m, ValueRange old) {
    Values x, next(old);
    for (int64_t i = 0; i < count; ++i)
      x.push_back(input(kb.add(m, i)));
    Value start = kb.add(kb.sub(row, m), shift);
    for (int64_t d = 1 - count; d < count; ++d) {
      Value c = coefficient(kb.add(start, d));
      for (int64_t j = std::max<int64_t>(d, 0); j < count && j - d < count; ++j)
        next[j] = kb.fma(c, x[j - d], next[j]);
    }
    return next;
  });
  if (count > 1)
    sums = kb.forLoop(blocks, high, 1, sums, [&](Value m, ValueRange old) {
      Values next;
      Value start = kb.add(kb.sub(row, m), shift), x = input(m);
      for (int64_t j = 0; j < count; ++j)
        next.push_back(kb.fma(coefficient(kb.add(start, j)), x, old[j]));
      return next;
    });
  if (op.isCausal())
    sums = triangle(sums, row, high, /*below=*/false, /*nothing=*/{}, {}, [&] {
      Values result(sums);
      for (int64_t j = 1; j < count; ++j)
        result = single(result, j, row, kb.max(lowest(j), high), kb.add(row, j + 1));
      return result;
    });
  for (int64_t j = 0; j < count; ++j)
    broken |= failed(plan.epilogue->emit(
        scope, lanes, sums[j], {Lane(batch), Lane(kb.add(row, j)), Lane::linear(channel)}));
}

void Product::compute() {
  Value blockRows = kb.idx(kRowTiles * tile), length = scope.extent(op.getResult(), 1);
  Value rowBlocks = kb.ceilDiv(length, kRowTiles * tile);
  Value first = kb.mul(kb.rem(scope.args.task, rowBlocks), blockRows);
  Value last = kb.min(kb.add(first, blockRows), length);
  Value zero = kb.idx(0), from = zero, to = inputs, low = zero, high = taps;
  if (op.isCausal()) {
    from = kb.max(zero, kb.sub(kb.add(first, 1), taps));
    to = last;
    high = kb.min(taps, last);
  } else {
    low = first;
    high = kb.add(last, shift);
  }
  pack(op.getInput(), {Lane(batch)}, true, from, to, packedInput);
  if (op.hasChannelCoeffs())
    pack(op.getCoeffs(), {}, true, low, high, packedCoeffs);
  Value whole = kb.add(first, kb.mul(kb.div(kb.sub(last, first), tile), tile));
  kb.forLoop(first, whole, tile, [&](Value row) { rows(row, tile); });
  kb.forLoop(whole, last, 1, [&](Value row) { rows(row, 1); });
}

Value Product::run() {
  int64_t width = lanes.count;
  inputs = scope.extent(op.getInput(), 1);
  taps = scope.extent(op.getCoeffs(), 0);
  shift = op.isCausal() ? kb.idx(0) : kb.sub(inputs, kb.idx(1));
  Value channels = scope.extent(op.getInput(), 2), vectors = kb.ceilDiv(channels, width);
  Value rowBlocks = kb.ceilDiv(scope.extent(op.getResult(), 1), kRowTiles * tile);
  Value column = kb.div(scope.args.task, rowBlocks);
  batch = kb.div(column, vectors);
  channel = kb.mul(kb.rem(column, vectors), width);
  Value perWorker = kb.mul(kb.add(inputs, taps), width);
  packedInput = kb.gep(scope.scratch(0), kb.mul(scope.args.worker, perWorker), kb.f32());
  packedCoeffs = kb.gep(packedInput, kb.mul(inputs, width), kb.f32());
  Value left = kb.sub(channels, channel);
  Value partial = kb.lt(left, kb.idx(width));
  kb.ifElse(
      partial, TypeRange(),
      [&] {
        lanes.below(left, [&] { compute(); });
        return Values();
      },
      [&] {
        compute();
        return Values();
      });
  return lanes.error();
}

struct ToeplitzEmitter final : KernelEmitter {
  StringRef name() const override { return "toeplitz"; }
  bool matches(KernelOp op, const CpuTarget &) const override { return Plan(op).read(); }
  FailureOr<EmittedKernel> emit(KernelOp op, ModuleOp module, StringRef symbol,
                                const CpuTarget &target) const override {
    Plan plan(op);
    if (!plan.read())
      return op.emitError("internal: not a kernel of the toeplitz emitter");
    KernelBuilder kb(op.getLoc(), target);
    bool broken = false;
    func::FuncOp task = kb.task(module, (symbol + "_rows").str(), [&](const KernelArgs &args) {
      Product product(plan, kb, args);
      Value status = product.run();
      broken = product.broken;
      return status;
    });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      Scope scope(plan.sizes, kb, args);
      Value vectors = kb.ceilDiv(scope.extent(plan.op.getInput(), 2), kb.lanes());
      Value rowBlocks =
          kb.ceilDiv(scope.extent(plan.op.getResult(), 1), kRowTiles * Product::tileRows(target));
      Value tasks = kb.mul(kb.mul(scope.extent(plan.op.getInput(), 0), vectors), rowBlocks);
      return kb.parallelFor(args, tasks, task);
    });
    if (broken)
      return op.emitError("internal: the body of an epilogue is not supported");
    Size positions =
        *plan.sizes.extent(plan.op.getInput(), 1) + *plan.sizes.extent(plan.op.getCoeffs(), 0);
    EmittedKernel emitted;
    emitted.scratch.push_back(hostExpr(op, Size(4 * kb.lanes()) * positions, /*perWorker=*/true));
    return emitted;
  }
};

} // namespace

std::unique_ptr<KernelEmitter> createToeplitzEmitter() {
  return std::make_unique<ToeplitzEmitter>();
}

} // namespace attune::codegen
