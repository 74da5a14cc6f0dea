#include "attune/codegen/cpu/LoopsBody.h"

#include "attune/passes/Passes.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Tensor/Transforms/Transforms.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace attune::codegen {
namespace {

/// A splat constant as data in the artifact would be as large as the tensor.
struct SplatToFill : OpRewritePattern<arith::ConstantOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(arith::ConstantOp op, PatternRewriter &rewriter) const override {
    auto splat = dyn_cast<DenseElementsAttr>(op.getValue());
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!type || !splat || !splat.isSplat())
      return rewriter.notifyMatchFailure(op, "not a splat tensor");
    auto value = arith::ConstantOp::create(rewriter, op.getLoc(), type.getElementType(),
                                           splat.getSplatValue<TypedAttr>());
    Value empty =
        tensor::EmptyOp::create(rewriter, op.getLoc(), type.getShape(), type.getElementType());
    rewriter.replaceOpWithNewOp<linalg::FillOp>(op, ValueRange{value}, ValueRange{empty});
    return success();
  }
};

} // namespace

LogicalResult LoopsBody::build() {
  cloneRegion();
  if (failed(bufferize()))
    return op.emitError("internal: reference lowering does not bufferize");
  if (loops == Loops::Serial)
    replaceAsserts();
  return moveAllocations();
}

void LoopsBody::moveGlobals(ModuleOp target) {
  for (auto global : llvm::make_early_inc_range(module.getOps<memref::GlobalOp>())) {
    std::string fresh = (name + "_" + global.getSymName()).str();
    func.walk([&](memref::GetGlobalOp use) {
      if (use.getName() == global.getSymName())
        use.setName(fresh);
    });
    global.setSymName(fresh);
    global->remove();
    target.push_back(global);
  }
}

void LoopsBody::cloneRegion() {
  OpBuilder b(module.getBodyRegion());
  Location loc = op.getLoc();
  SmallVector<Type> types;
  auto addMemRef = [&](Type type) {
    auto tensor = cast<RankedTensorType>(type);
    types.push_back(MemRefType::get(tensor.getShape(), tensor.getElementType()));
  };
  llvm::for_each(op.getInputs().getTypes(), addMemRef);
  llvm::for_each(op.getResultTypes(), addMemRef);
  types.append(op.getDims().size(), b.getIndexType());
  func = func::FuncOp::create(b, loc, (name + "_body").str(),
                              b.getFunctionType(types, b.getI32Type()));
  func.setPrivate();
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  IRMapping map;
  Block &body = op.getBody().front();
  unsigned inputs = op.getInputs().size();
  for (unsigned i = 0; i < inputs; ++i)
    map.map(body.getArgument(i),
            bufferization::ToTensorOp::create(b, loc, op.getInputs()[i].getType(),
                                              entry->getArgument(i), /*restrict=*/true)
                .getResult());
  for (unsigned i = 0; i < op.getDims().size(); ++i)
    map.map(body.getArgument(inputs + i), entry->getArgument(numBuffers() + i));
  for (Operation &inner : body.without_terminator())
    b.clone(inner, map);
  for (auto [i, value] : llvm::enumerate(body.getTerminator()->getOperands())) {
    auto store = bufferization::MaterializeInDestinationOp::create(b, loc, map.lookup(value),
                                                                   entry->getArgument(inputs + i));
    store.setRestrict(true);
    store.setWritable(true);
  }
  func::ReturnOp::create(b, loc, arith::ConstantIntOp::create(b, loc, 0, 32).getResult());
}

LogicalResult LoopsBody::bufferize() {
  PassManager pm(module->getName());
  pm.addPass(createDecompose());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (failed(pm.run(module)))
    return failure();

  if (loops == Loops::Parallel && failed(separateParallelLoops()))
    return failure();
  RewritePatternSet patterns(module.getContext());
  tensor::populateDecomposeTensorConcatPatterns(patterns);
  patterns.add<SplatToFill>(module.getContext());
  if (failed(applyPatternsGreedily(module, std::move(patterns))))
    return failure();
  SmallVector<linalg::UnPackOp> unpacks;
  module.walk([&](linalg::UnPackOp unpack) { unpacks.push_back(unpack); });
  for (linalg::UnPackOp unpack : unpacks) {
    IRRewriter rewriter(unpack);
    if (failed(linalg::lowerUnPack(rewriter, unpack)))
      return failure();
  }

  PassManager lower(module->getName());
  bufferization::OneShotBufferizePassOptions options;
  options.allowUnknownOps = true;
  lower.addPass(bufferization::createEmptyTensorEliminationPass());
  lower.addPass(bufferization::createOneShotBufferizePass(options));
  lower.addPass(createCanonicalizerPass());
  lower.addPass(createCSEPass());
  if (failed(lower.run(module)))
    return failure();
  copiesToLoops();

  PassManager toLoops(module->getName());
  toLoops.addNestedPass<func::FuncOp>(loops == Loops::Parallel
                                          ? createConvertLinalgToParallelLoopsPass()
                                          : createConvertLinalgToLoopsPass());
  toLoops.addPass(memref::createFoldMemRefAliasOpsPass());
  toLoops.addPass(memref::createExpandStridedMetadataPass());
  toLoops.addNestedPass<func::FuncOp>(bufferization::createBufferLoopHoistingPass());
  toLoops.addPass(memref::createResolveShapedTypeResultDimsPass());
  toLoops.addPass(createCanonicalizerPass());
  toLoops.addPass(createCSEPass());
  return toLoops.run(module);
}

/// A nest has its parallel loops outside of the others; named operators have nests of one order.
LogicalResult LoopsBody::separateParallelLoops() {
  PassManager generalize(module->getName());
  generalize.addNestedPass<func::FuncOp>(createLinalgGeneralizeNamedOpsPass());
  if (failed(generalize.run(module)))
    return failure();
  SmallVector<linalg::GenericOp> ops;
  module.walk([&](linalg::GenericOp generic) { ops.push_back(generic); });
  for (linalg::GenericOp generic : ops) {
    SmallVector<unsigned> order, reductions;
    generic.getParallelDims(order);
    generic.getReductionDims(reductions);
    llvm::append_range(order, reductions);
    if (llvm::is_sorted(order))
      continue;
    IRRewriter rewriter(generic);
    if (failed(linalg::interchangeGenericOp(rewriter, generic, order)))
      return failure();
  }
  return success();
}

/// A strided `memref.copy` would become a call into MLIR's own run time.
void LoopsBody::copiesToLoops() {
  SmallVector<memref::CopyOp> copies;
  module.walk([&](memref::CopyOp copy) { copies.push_back(copy); });
  for (memref::CopyOp copy : copies) {
    OpBuilder b(copy);
    linalg::makeMemRefCopyOp(b, copy.getLoc(), copy.getSource(), copy.getTarget());
    copy.erase();
  }
}

/// A failed `cf.assert` sets the kernel's result; the access behind it is clamped by its maker.
void LoopsBody::replaceAsserts() {
  SmallVector<cf::AssertOp> asserts;
  func.walk([&](cf::AssertOp assertion) { asserts.push_back(assertion); });
  if (asserts.empty())
    return;
  OpBuilder b = OpBuilder::atBlockBegin(&func.getBody().front());
  Location loc = func.getLoc();
  Value flag = memref::AllocaOp::create(b, loc, MemRefType::get({}, b.getI32Type()));
  Value zero = arith::ConstantIntOp::create(b, loc, 0, 32);
  Value code = arith::ConstantIntOp::create(b, loc, 1, 32);
  memref::StoreOp::create(b, loc, zero, flag);
  for (cf::AssertOp assertion : asserts) {
    b.setInsertionPoint(assertion);
    Value old = memref::LoadOp::create(b, loc, flag);
    Value next = arith::SelectOp::create(b, loc, assertion.getArg(), old, code);
    memref::StoreOp::create(b, loc, next, flag);
    assertion.erase();
  }
  Operation *terminator = func.getBody().front().getTerminator();
  b.setInsertionPoint(terminator);
  terminator->setOperand(0, memref::LoadOp::create(b, loc, flag));
}

FailureOr<HostExpr> LoopsBody::hostExpr(Value value) {
  if (auto arg = dyn_cast<BlockArgument>(value)) {
    if (arg.getOwner() != &func.getBody().front() || arg.getArgNumber() < numBuffers())
      return failure();
    unsigned dim = arg.getArgNumber() - numBuffers();
    return HostExpr([dim](OpBuilder &, Location, ValueRange dims, Value) { return dims[dim]; });
  }
  Operation *producer = value.getDefiningOp();
  if (auto extent = dyn_cast<memref::DimOp>(producer))
    return extentOf(extent.getSource(), *extent.getConstantIndex());
  if (auto metadata = dyn_cast<memref::ExtractStridedMetadataOp>(producer)) {
    auto size = llvm::find(metadata.getSizes(), value);
    if (size == metadata.getSizes().end())
      return failure();
    return extentOf(metadata.getSource(), size - metadata.getSizes().begin());
  }
  if (!isa<arith::ArithDialect, affine::AffineDialect>(producer->getDialect()))
    return failure();
  SmallVector<HostExpr> operands;
  for (Value operand : producer->getOperands()) {
    FailureOr<HostExpr> expr = hostExpr(operand);
    if (failed(expr))
      return failure();
    operands.push_back(*expr);
  }
  OperationName opName = producer->getName();
  SmallVector<NamedAttribute> attrs = llvm::to_vector(producer->getAttrs());
  Type type = value.getType();
  return HostExpr([=](OpBuilder &b, Location loc, ValueRange dims, Value threads) -> Value {
    OperationState state(loc, opName);
    for (const HostExpr &operand : operands)
      state.operands.push_back(operand(b, loc, dims, threads));
    state.addAttributes(attrs);
    state.addTypes(type);
    return b.create(state)->getResult(0);
  });
}

FailureOr<HostExpr> LoopsBody::extentOf(Value memref, int64_t axis) {
  auto type = cast<MemRefType>(memref.getType());
  if (!type.isDynamicDim(axis))
    return HostExpr([size = type.getDimSize(axis)](OpBuilder &b, Location loc, ValueRange, Value) {
      return arith::ConstantIndexOp::create(b, loc, size).getResult();
    });
  if (Operation *producer = memref.getDefiningOp()) {
    if (auto alloc = dyn_cast<memref::AllocOp>(producer))
      return hostExpr(alloc.getDynamicSizes()[type.getDynamicDimIndex(axis)]);
    if (auto cast = dyn_cast<memref::CastOp>(producer))
      return extentOf(cast.getSource(), axis);
    if (auto expand = dyn_cast<memref::ExpandShapeOp>(producer))
      return hostExpr(expand.getOutputShape()[type.getDynamicDimIndex(axis)]);
    auto view = dyn_cast<OffsetSizeAndStrideOpInterface>(producer);
    if (!view || int64_t(view.getMixedSizes().size()) != type.getRank())
      return failure();
    auto size = dyn_cast<Value>(view.getMixedSizes()[axis]);
    return size ? hostExpr(size) : FailureOr<HostExpr>(failure());
  }
  auto arg = cast<BlockArgument>(memref);
  unsigned firstScratch = func.getNumArguments() - scratchExtents.size();
  if (arg.getOwner() == &func.getBody().front() && arg.getArgNumber() >= firstScratch)
    return scratchExtents[arg.getArgNumber() - firstScratch][type.getDynamicDimIndex(axis)];
  if (arg.getArgNumber() >= numBuffers())
    return failure();
  Value dim = dimOfBuffer(arg.getArgNumber(), axis);
  return dim ? hostExpr(dim) : FailureOr<HostExpr>(failure());
}

Value LoopsBody::dimOfBuffer(unsigned number, int64_t axis) {
  auto isDynamicBefore = [](Type type, int64_t until) {
    auto shape = cast<ShapedType>(type).getShape().take_front(until);
    return llvm::count_if(shape, ShapedType::isDynamic);
  };
  unsigned inputs = op.getInputs().size();
  int64_t dim;
  if (number < inputs) {
    int64_t place = isDynamicBefore(op.getInputs()[number].getType(), axis);
    for (unsigned i = 0; i < number; ++i)
      place += cast<ShapedType>(op.getInputs()[i].getType()).getNumDynamicDims();
    dim = op.getInputDims()[place];
  } else {
    int64_t place = isDynamicBefore(op.getResult(number - inputs).getType(), axis);
    for (unsigned i = 0; i < number - inputs; ++i)
      place += cast<ShapedType>(op.getResult(i).getType()).getNumDynamicDims();
    dim = llvm::find(op.getDims(), op.getResultDims()[place]) - op.getDims().begin();
  }
  return func.getArgument(numBuffers() + dim);
}

/// Temporaries become scratch buffers of the memory plan: a kernel never allocates.
LogicalResult LoopsBody::moveAllocations() {
  SmallVector<memref::AllocOp> allocs;
  func.walk([&](memref::AllocOp alloc) { allocs.push_back(alloc); });
  for (memref::AllocOp alloc : allocs) {
    MemRefType type = alloc.getType();
    if (alloc->getBlock() != &func.getBody().front() || !type.getLayout().isIdentity())
      return op.emitError("internal: a temporary of type ")
             << type << " has a size that depends on a loop";
    SmallVector<HostExpr> extents;
    for (Value size : alloc.getDynamicSizes()) {
      FailureOr<HostExpr> expr = hostExpr(size);
      if (failed(expr))
        return op.emitError("internal: a temporary's size is no function of the kernel's dims");
      extents.push_back(*expr);
    }
    int64_t element = (type.getElementTypeBitWidth() + 7) / 8;
    for (int64_t extent : type.getShape())
      element *= ShapedType::isDynamic(extent) ? 1 : extent;
    scratch.push_back([extents, element](OpBuilder &b, Location loc, ValueRange dims, Value t) {
      Value bytes = arith::ConstantIndexOp::create(b, loc, element);
      for (const HostExpr &extent : extents)
        bytes = arith::MulIOp::create(b, loc, bytes, extent(b, loc, dims, t));
      return bytes;
    });
    scratchTypes.push_back(type);
    scratchExtents.push_back(extents);
    (void)func.insertArgument(func.getNumArguments(), type, DictionaryAttr(), alloc.getLoc());
    alloc.replaceAllUsesWith(func.getArguments().back());
    alloc.erase();
  }
  func.walk([](memref::DeallocOp dealloc) { dealloc.erase(); });
  return success();
}

/// A dense row-major memref over a raw pointer.
static Value memrefFromPointer(KernelBuilder &kb, Value pointer, MemRefType type,
                               ValueRange extents) {
  LLVMTypeConverter converter(kb.b.getContext());
  Type struct_ = converter.convertType(type);
  auto desc = MemRefDescriptor::poison(kb.b, kb.loc, struct_);
  auto i64 = [&](Value v) -> Value {
    return arith::IndexCastOp::create(kb.b, kb.loc, kb.b.getI64Type(), v);
  };
  desc.setAllocatedPtr(kb.b, kb.loc, pointer);
  desc.setAlignedPtr(kb.b, kb.loc, pointer);
  desc.setConstantOffset(kb.b, kb.loc, 0);
  SmallVector<Value> sizes;
  auto next = extents.begin();
  for (int64_t extent : type.getShape())
    sizes.push_back(ShapedType::isDynamic(extent) ? *next++ : kb.idx(extent));
  Value stride = kb.idx(1);
  for (int64_t axis = type.getRank() - 1; axis >= 0; --axis) {
    desc.setSize(kb.b, kb.loc, axis, i64(sizes[axis]));
    desc.setStride(kb.b, kb.loc, axis, i64(stride));
    stride = kb.mul(stride, sizes[axis]);
  }
  Value packed = desc;
  return UnrealizedConversionCastOp::create(kb.b, kb.loc, type, packed).getResult(0);
}

Values LoopsBody::memrefs(KernelBuilder &kb, ValueRange dims,
                          llvm::function_ref<Value(int64_t)> buffer) {
  Values list;
  for (unsigned i = 0; i < numBuffers(); ++i) {
    auto type = cast<MemRefType>(func.getArgument(i).getType());
    Values extents;
    for (int64_t axis = 0; axis < type.getRank(); ++axis)
      if (type.isDynamicDim(axis))
        extents.push_back(
            dims[cast<BlockArgument>(dimOfBuffer(i, axis)).getArgNumber() - numBuffers()]);
    list.push_back(memrefFromPointer(kb, buffer(i), type, extents));
  }
  for (auto [i, type] : llvm::enumerate(scratchTypes)) {
    Values extents;
    for (const HostExpr &extent : scratchExtents[i])
      extents.push_back(extent(kb.b, kb.loc, dims, Value()));
    list.push_back(memrefFromPointer(kb, buffer(numBuffers() + i), type, extents));
  }
  return list;
}

} // namespace attune::codegen
