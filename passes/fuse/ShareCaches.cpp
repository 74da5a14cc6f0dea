#include "attune/passes/fuse/ShareCaches.h"

#include "attune/passes/fuse/Dims.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;

namespace attune {
namespace {

/// `present`, the function's result number `output`, is `past` with more behind it along `axis`.
struct Pair {
  BlockArgument past;
  OpResult present;
  int64_t output, axis;

  KernelOp writer() const { return cast<KernelOp>(present.getOwner()); }
};

/// A tensor at a kernel's boundary that becomes the buffer of which it is the front.
struct Front {
  unsigned number; ///< of the kernel's input or result
  int64_t axis;
  Value buffer; ///< of an input
  Value capacity;
};

/// What happens to one kernel.
struct Change {
  SmallVector<Front> inputs, results;
};

RankedTensorType bufferType(Type front, int64_t axis) {
  auto type = cast<RankedTensorType>(front);
  SmallVector<int64_t> shape(type.getShape());
  shape[axis] = ShapedType::kDynamic;
  return RankedTensorType::get(shape, type.getElementType());
}

/// Rebuilds a kernel's boundary; the region sees the fronts as before.
class Rewriting {
public:
  Rewriting(KernelOp kernel, OpBuilder &builder)
      : kernel(kernel), body(kernel.getBody().front()), b(builder), dims(kernel.getDims()),
        resultDims(kernel.getResultDims()), inputDims(kernel.getInputDims()) {}

  void run(const Change &change) {
    for (const Front &front : change.inputs)
      replaceInput(front);
    for (const Front &front : change.results)
      replaceResult(front);
    kernel.getDimsMutable().assign(dims);
    kernel.getResultDimsMutable().assign(resultDims);
    kernel.setInputDims(inputDims);
  }

private:
  KernelOp kernel;
  Block &body;
  OpBuilder &b;
  SmallVector<Value> dims, resultDims;
  SmallVector<int64_t> inputDims;

  int64_t dimNumber(Value value) {
    auto *it = llvm::find(dims, value);
    if (it != dims.end())
      return it - dims.begin();
    dims.push_back(value);
    body.addArgument(b.getIndexType(), value.getLoc());
    return dims.size() - 1;
  }
  Value dimArgument(int64_t number) { return body.getArgument(kernel.getInputs().size() + number); }

  /// How many `?` there are in the types before number `position`, and before `axis` of that one.
  template <class Types> static int64_t place(Types types, unsigned position, int64_t axis) {
    int64_t count = 0;
    for (unsigned i = 0; i < position; ++i)
      count += cast<RankedTensorType>(types[i]).getNumDynamicDims();
    auto shape = cast<RankedTensorType>(types[position]).getShape();
    return count + llvm::count_if(shape.take_front(axis), ShapedType::isDynamic);
  }

  template <class Dim>
  static void setDim(SmallVector<Dim> &list, int64_t place, bool isThere, Dim dim) {
    if (isThere)
      list[place] = dim;
    else
      list.insert(list.begin() + place, dim);
  }

  SmallVector<OpFoldResult> constants(int64_t rank, int64_t value) {
    return SmallVector<OpFoldResult>(rank, b.getIndexAttr(value));
  }

  void replaceInput(const Front &front) {
    BlockArgument arg = body.getArgument(front.number);
    auto type = cast<RankedTensorType>(arg.getType());
    int64_t first = place(kernel.getInputs().getTypes(), front.number, 0), next = first;
    SmallVector<OpFoldResult> extents;
    for (int64_t extent : type.getShape())
      extents.push_back(ShapedType::isDynamic(extent) ? OpFoldResult(dimArgument(inputDims[next++]))
                                                      : b.getIndexAttr(extent));
    int64_t at = place(kernel.getInputs().getTypes(), front.number, front.axis);
    setDim(inputDims, at, type.isDynamicDim(front.axis), dimNumber(front.capacity));
    arg.setType(bufferType(type, front.axis));
    kernel.getInputsMutable()[front.number].set(front.buffer);
    b.setInsertionPointToStart(&body);
    auto slice =
        tensor::ExtractSliceOp::create(b, kernel.getLoc(), type, arg, constants(type.getRank(), 0),
                                       extents, constants(type.getRank(), 1));
    arg.replaceAllUsesExcept(slice, slice);
  }

  void replaceResult(const Front &front) {
    YieldOp yield = kernel.getYield();
    Value value = yield->getOperand(front.number);
    auto type = cast<RankedTensorType>(value.getType());
    int64_t next = place(kernel.getResultTypes(), front.number, 0);
    SmallVector<OpFoldResult> extents;
    for (int64_t extent : type.getShape())
      extents.push_back(ShapedType::isDynamic(extent)
                            ? OpFoldResult(dimArgument(dimNumber(resultDims[next++])))
                            : b.getIndexAttr(extent));
    SmallVector<OpFoldResult> whole = extents;
    whole[front.axis] = dimArgument(dimNumber(front.capacity));
    int64_t at = place(kernel.getResultTypes(), front.number, front.axis);
    setDim(resultDims, at, type.isDynamicDim(front.axis), front.capacity);
    b.setInsertionPoint(yield);
    Location loc = kernel.getLoc();
    Value empty = tensor::EmptyOp::create(b, loc, whole, type.getElementType());
    Value all = tensor::InsertSliceOp::create(b, loc, value, empty, constants(type.getRank(), 0),
                                              extents, constants(type.getRank(), 1));
    yield->setOperand(front.number, all);
    kernel.getResult(front.number).setType(cast<RankedTensorType>(all.getType()));
  }
};

class ShareCachesPass : public PassWrapper<ShareCachesPass, OperationPass<func::FuncOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ShareCachesPass)
  explicit ShareCachesPass(const KernelBackend &backend) : backend(backend) {}

  StringRef getArgument() const override { return "attune-share-caches"; }
  StringRef getDescription() const override { return "Growing caches in whole buffers."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<tensor::TensorDialect>();
    backend.getDependentDialects(registry);
  }

  void runOnOperation() override {
    func::FuncOp func = getOperation();
    for (Pair &pair : findPairs(func)) {
      Location loc = pair.writer().getLoc();
      if (StringRef reason = share(func, pair); reason.empty())
        remark::passed(loc, options("CacheShared"))
            << remark::add("input {0} may grow in place along axis {1} to output {2}",
                           pair.past.getArgNumber(), pair.axis, pair.output);
      else
        remark::missed(loc, options("CacheNotShared")) << remark::reason("{0}", reason);
    }
  }

private:
  const KernelBackend &backend;

  static remark::RemarkOpts options(StringRef name) {
    return remark::RemarkOpts::name(name).category("attune-share-caches");
  }

  static SmallVector<Pair> findPairs(func::FuncOp func) {
    SmallVector<Pair> pairs;
    auto terminator = cast<func::ReturnOp>(func.getBody().front().getTerminator());
    for (auto [number, operand] : llvm::enumerate(terminator.getOperands())) {
      auto present = dyn_cast<OpResult>(operand);
      auto kernel = present ? dyn_cast<KernelOp>(present.getOwner()) : KernelOp();
      auto concat = kernel ? kernel.getYield()
                                 ->getOperand(present.getResultNumber())
                                 .getDefiningOp<tensor::ConcatOp>()
                           : tensor::ConcatOp();
      auto inner = concat ? dyn_cast<BlockArgument>(concat.getInputs().front()) : BlockArgument();
      if (!inner || inner.getArgNumber() >= kernel.getInputs().size())
        continue;
      auto past = dyn_cast<BlockArgument>(kernel.getInputs()[inner.getArgNumber()]);
      bool taken = llvm::any_of(pairs, [&](const Pair &pair) { return pair.past == past; });
      if (past && !taken && !concat.getInputs().drop_front().empty())
        pairs.push_back({past, present, int64_t(number), int64_t(concat.getDim())});
    }
    return pairs;
  }

  /// Adds an argument that stands for a buffer of that type; gives it and its capacity.
  static std::pair<Value, Value> addBuffer(func::FuncOp func, RankedTensorType type, StringRef name,
                                           ArrayRef<int64_t> numbers, Location loc) {
    Builder builder(func.getContext());
    unsigned position = func.getNumArguments();
    NamedAttribute attr(builder.getStringAttr(name), builder.getDenseI64ArrayAttr(numbers));
    (void)func.insertArgument(position, type, builder.getDictionaryAttr(attr), loc);
    Value buffer = func.getArgument(position);
    OpBuilder entry = OpBuilder::atBlockBegin(&func.getBody().front());
    return {buffer, tensor::DimOp::create(entry, loc, buffer, numbers.back())};
  }

  /// Why the pair stays as it is, or "".
  StringRef share(func::FuncOp func, Pair &pair) {
    llvm::MapVector<Operation *, Change> changes;
    bool returned = false;
    for (OpOperand &use : pair.past.getUses()) {
      if (isa<tensor::DimOp>(use.getOwner()))
        continue;
      if (!isa<KernelOp>(use.getOwner()))
        return "the past is reshaped, read by the host program or returned as it is";
      changes[use.getOwner()].inputs.push_back({use.getOperandNumber(), pair.axis, {}, {}});
    }
    for (OpOperand &use : pair.present.getUses()) {
      bool isOutput = isa<func::ReturnOp>(use.getOwner());
      if (isOutput ? returned : !isa<KernelOp>(use.getOwner()))
        return "the present is reshaped, read by the host program or returned twice";
      returned |= isOutput;
      if (!isOutput)
        changes[use.getOwner()].inputs.push_back({use.getOperandNumber(), pair.axis, {}, {}});
    }
    changes[pair.writer()].results.push_back({pair.present.getResultNumber(), pair.axis, {}, {}});

    SmallVector<int64_t> numbers{pair.past.getArgNumber(), pair.output, pair.axis};
    unsigned arguments = func.getNumArguments();
    auto [past, pastCapacity] = addBuffer(func, bufferType(pair.past.getType(), pair.axis),
                                          kInputBufferAttr, numbers, pair.past.getLoc());
    auto [present, presentCapacity] = addBuffer(func, bufferType(pair.present.getType(), pair.axis),
                                                kOutputBufferAttr, numbers, pair.present.getLoc());
    for (auto &[op, change] : changes) {
      for (Front &front : change.inputs) {
        bool isPast = op->getOperand(front.number) == pair.past;
        front.buffer = isPast ? past : pair.present;
        front.capacity = isPast ? pastCapacity : presentCapacity;
      }
      for (Front &front : change.results)
        front.capacity = presentCapacity;
    }

    StringRef reason = takesBuffers(changes);
    if (reason.empty()) {
      replace(func, pair, changes);
      return "";
    }
    for (Value capacity : {pastCapacity, presentCapacity})
      capacity.getDefiningOp()->erase();
    while (func.getNumArguments() > arguments)
      (void)func.eraseArgument(func.getNumArguments() - 1);
    return reason;
  }

  /// Whether every kernel keeps its emitter when it works on buffers.
  StringRef takesBuffers(llvm::MapVector<Operation *, Change> &changes) {
    for (auto &[op, change] : changes) {
      StringRef emitter = backend.emitterFor(cast<KernelOp>(op));
      if (emitter.empty() && !change.results.empty())
        return "the kernel that appends has no special emitter";
      OpBuilder builder(op);
      // An input that another change makes a buffer has the type of its front until then.
      auto trial = cast<KernelOp>(builder.clone(*op));
      SmallVector<Operation *> casts;
      Change tried = change;
      for (Front &front : tried.inputs) {
        builder.setInsertionPoint(trial);
        casts.push_back(tensor::CastOp::create(
            builder, op->getLoc(), bufferType(front.buffer.getType(), front.axis), front.buffer));
        front.buffer = casts.back()->getResult(0);
      }
      Rewriting(trial, builder).run(tried);
      bool same = backend.emitterFor(trial) == emitter;
      trial.erase();
      for (Operation *cast : casts)
        cast->erase();
      if (!same)
        return "a kernel that reads or writes the cache cannot work on a part of a buffer";
    }
    return "";
  }

  static void replace(func::FuncOp func, Pair &pair,
                      llvm::MapVector<Operation *, Change> &changes) {
    // The extents of the present, before its kernel gives those of the buffer.
    DimResolver dims(func);
    SmallVector<OpFoldResult> extents;
    int64_t rank = cast<RankedTensorType>(pair.present.getType()).getRank();
    for (int64_t axis = 0; axis < rank; ++axis)
      extents.push_back(dims.get(pair.present, axis));
    auto type = cast<RankedTensorType>(pair.present.getType());
    OpBuilder builder(func.getContext());
    // The writer first: its readers take the new type.
    Rewriting(pair.writer(), builder).run(changes[pair.writer()]);
    for (auto &[op, change] : changes)
      if (op != pair.writer())
        Rewriting(cast<KernelOp>(op), builder).run(change);

    builder.setInsertionPoint(func.getBody().front().getTerminator());
    SmallVector<OpFoldResult> zeros(rank, builder.getIndexAttr(0)),
        ones(rank, builder.getIndexAttr(1));
    auto front = tensor::ExtractSliceOp::create(builder, pair.present.getLoc(), type, pair.present,
                                                zeros, extents, ones);
    func.getBody().front().getTerminator()->setOperand(pair.output, front);
  }
};

} // namespace

std::unique_ptr<Pass> createShareCachesPass(const KernelBackend &backend) {
  return std::make_unique<ShareCachesPass>(backend);
}

} // namespace attune
