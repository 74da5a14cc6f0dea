#include "attune/codegen/gpu/WarpGroups.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace attune::codegen {

static Value narrow(KernelBuilder &kb, Value index) {
  return kb.b.createOrFold<arith::IndexCastOp>(kb.loc, kb.b.getI32Type(), index);
}

void WarpGroups::initBarrier(Value barrier, int64_t arrivals) {
  NVVM::MBarrierInitOp::create(kb.b, kb.loc, barrier, kb.constI(arrivals, kb.b.getI32Type()),
                               Value());
}

void WarpGroups::publishBarriers() { NVVM::FenceMbarrierInitOp::create(kb.b, kb.loc); }

void WarpGroups::arrive(Value barrier) {
  LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.b.getI64Type(),
                                kb.b.getStringAttr("llvm.nvvm.mbarrier.arrive.shared"),
                                ValueRange{barrier});
}

void WarpGroups::expect(Value barrier, int64_t bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(kb.b, kb.loc, Type(), barrier,
                                         kb.constI(bytes, kb.b.getI32Type()),
                                         NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
}

void WarpGroups::wait(Value barrier, Value parity) {
  // How long an attempt may take; the operator tries again.
  constexpr int64_t kNanoseconds = 10000000;
  NVVM::MBarrierTryWaitParityOp::create(kb.b, kb.loc, barrier, parity,
                                        kb.constI(kNanoseconds, kb.b.getI32Type()));
}

void WarpGroups::barrierOf(int64_t number, int64_t threads) {
  Type i32 = kb.b.getI32Type();
  NVVM::BarrierOp::create(kb.b, kb.loc, Type(), kb.constI(number, i32), kb.constI(threads, i32),
                          NVVM::BarrierReductionAttr(), Value());
}

void WarpGroups::copyTile(Value map, ValueRange coordinates, Value to, Value barrier) {
  Values at;
  for (Value coordinate : coordinates)
    at.push_back(narrow(kb, coordinate));
  // Memory of the block is memory of its cluster.
  constexpr unsigned kSharedCluster = 7;
  to = LLVM::AddrSpaceCastOp::create(
      kb.b, kb.loc, LLVM::LLVMPointerType::get(kb.b.getContext(), kSharedCluster), to);
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      kb.b, kb.loc, to, map, at, barrier, ValueRange(), Value(), Value(), NVVM::TMALoadMode::TILE,
      /*isCTAOnly=*/false, NVVM::CTAGroupKindAttr(), Value());
}

Value WarpGroups::noSums(int64_t columns) {
  auto type =
      LLVM::LLVMStructType::getLiteral(kb.b.getContext(), SmallVector<Type>(columns / 2, kb.f32()));
  return LLVM::UndefOp::create(kb.b, kb.loc, type);
}

Value WarpGroups::zeroSums(int64_t columns) {
  Value sums = noSums(columns), zero = kb.constF(0);
  for (int64_t i = 0; i < columns / 2; ++i)
    sums = LLVM::InsertValueOp::create(kb.b, kb.loc, sums, zero, i);
  return sums;
}

Value WarpGroups::sum(Value sums, int64_t number) {
  return LLVM::ExtractValueOp::create(kb.b, kb.loc, sums, number);
}

// Fields of a descriptor ("Matrix Descriptor Format"), in units of 16 bytes: the address, from bit
// 16 the distance between groups of 64 outer indices, from bit 32 that between groups of eight
// rows; bit 62: swizzled in rows of 128 bytes.
static constexpr int64_t kUnit = 16, kEightRows = 8 * WarpGroups::kRowBytes;

Value WarpGroups::descriptor(Value address, bool depthInside, int64_t apart) {
  Type i32 = kb.b.getI32Type(), i64 = kb.b.getI64Type();
  Value bits = LLVM::PtrToIntOp::create(kb.b, kb.loc, i32, address);
  bits = arith::AndIOp::create(kb.b, kb.loc, bits, kb.constI(0x3ffff, i32));
  bits = arith::ShRUIOp::create(kb.b, kb.loc, bits, kb.constI(4, i32));
  bits = arith::ExtUIOp::create(kb.b, kb.loc, i64, bits);
  int64_t leading = depthInside ? 1 : apart / kUnit;
  int64_t rest = (int64_t(1) << 62) | (kEightRows / kUnit) << 32 | leading << 16;
  return arith::OrIOp::create(kb.b, kb.loc, bits, kb.constI(rest, i64));
}

Value WarpGroups::atDepth(Value descriptor, bool depthInside, int64_t step) {
  int64_t bytes = depthInside ? kDepth * 2 : kDepth * kRowBytes;
  return kb.b.createOrFold<arith::AddIOp>(kb.loc, descriptor,
                                          kb.constI(step * bytes / kUnit, kb.b.getI64Type()));
}

void WarpGroups::fence() { NVVM::WgmmaFenceAlignedOp::create(kb.b, kb.loc); }

Value WarpGroups::multiply(Value a, bool aDepthInside, Value b, bool bDepthInside, Value sums,
                           int64_t columns, bool accumulate) {
  auto type = element.isF16() ? NVVM::WGMMATypes::f16 : NVVM::WGMMATypes::bf16;
  auto shape = NVVM::MMAShapeAttr::get(kb.b.getContext(), kRows, columns, kDepth);
  using NVVM::MMALayout;
  return NVVM::WgmmaMmaAsyncOp::create(
      kb.b, kb.loc, sums.getType(), sums, a, b, shape, type, type, NVVM::WGMMATypes::f32,
      accumulate ? NVVM::WGMMAScaleOut::one : NVVM::WGMMAScaleOut::zero, NVVM::WGMMAScaleIn::one,
      NVVM::WGMMAScaleIn::one, aDepthInside ? MMALayout::row : MMALayout::col,
      bDepthInside ? MMALayout::col : MMALayout::row, NVVM::MMAIntOverflowAttr());
}

void WarpGroups::commit() { NVVM::WgmmaGroupSyncAlignedOp::create(kb.b, kb.loc); }

void WarpGroups::waitForProducts() { NVVM::WgmmaWaitGroupSyncOp::create(kb.b, kb.loc, 0); }

} // namespace attune::codegen
