#include "attune/search/templates/KernelRegions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace attune::search {

KernelRegions::KernelRegions(MLIRContext &context, const FormPrices &prices)
    : prices(prices), module(ModuleOp::create(UnknownLoc::get(&context))), b(&context),
      loc(module->getLoc()) {}

RankedTensorType KernelRegions::f32(ArrayRef<int64_t> shape) {
  return RankedTensorType::get(shape, b.getF32Type());
}

KernelOp KernelRegions::begin(TypeRange inputs, Type result) {
  b.setInsertionPointToStart(module->getBody());
  auto main = func::FuncOp::create(b, loc, "main", b.getFunctionType(inputs, {}));
  b.setInsertionPointToStart(main.addEntryBlock());
  auto kernel = KernelOp::create(b, loc, result, main.getArguments(), ValueRange(), ValueRange(),
                                 ArrayRef<int64_t>());
  b.setInsertionPointToStart(&kernel.getBody().front());
  return kernel;
}

void KernelRegions::yield(Value result) { YieldOp::create(b, loc, result); }

Value KernelRegions::number(float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}

Value KernelRegions::zeros(ArrayRef<int64_t> shape) {
  Value empty = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
  return linalg::FillOp::create(b, loc, number(0), empty).getResult(0);
}

Value KernelRegions::transpose(Value x, ArrayRef<int64_t> permutation) {
  ArrayRef<int64_t> from = cast<RankedTensorType>(x.getType()).getShape();
  SmallVector<int64_t> shape =
      llvm::map_to_vector(permutation, [&](int64_t axis) { return from[axis]; });
  Value empty = tensor::EmptyOp::create(b, loc, shape, b.getF32Type());
  return linalg::TransposeOp::create(b, loc, x, empty, permutation)->getResult(0);
}

/// x / 2 * (1 + erf(x / sqrt(2))), as FormGelu leaves it.
static mlir::Value gelu(OpBuilder &b, Location loc, mlir::Value x) {
  auto number = [&](float value) -> mlir::Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
  };
  mlir::Value half = arith::MulFOp::create(b, loc, x, number(0.5f));
  mlir::Value scaled = arith::MulFOp::create(b, loc, x, number(0.707106769f));
  mlir::Value erf = math::ErfOp::create(b, loc, scaled);
  return arith::MulFOp::create(b, loc, half, arith::AddFOp::create(b, loc, erf, number(1)));
}

BuiltKernel KernelRegions::product(int64_t rows, int64_t k, int64_t n, Then then, int64_t heads) {
  constexpr int64_t kPanel = 16; // of packed weights
  bool matrix = rows > 0;
  RankedTensorType type = matrix ? f32({1, rows, n}) : f32({1, n});
  int64_t panels = llvm::divideCeil(n, kPanel);
  SmallVector<Type> inputs{f32({panels, k, kPanel}), matrix ? f32({1, rows, k}) : f32({1, k}),
                           f32({n})};
  bool adds = then == Then::Table || then == Then::Residual;
  if (adds)
    inputs.push_back(type);
  KernelOp kernel = begin(inputs, heads ? f32({1, heads, rows, n / heads}) : type);
  auto args = kernel.getInputArgs();

  Value sums = zeros(type.getShape());
  Value empty = tensor::EmptyOp::create(b, loc, {k, n}, b.getF32Type());
  Value weight = linalg::UnPackOp::create(b, loc, args[0], empty, ArrayRef<int64_t>{1},
                                          ArrayRef<OpFoldResult>{b.getIndexAttr(kPanel)},
                                          ArrayRef<int64_t>{1, 0})
                     ->getResult(0);
  // Loops: batch, row, column, depth; without rows: batch, column, depth.
  unsigned rank = type.getRank(), column = rank - 1, depth = rank;
  auto mapOf = [&](ArrayRef<unsigned> loops) {
    return AffineMap::getMultiDimMapWithTargets(rank + 1, loops, b.getContext());
  };
  AffineMap left = matrix ? mapOf({0, 1, depth}) : mapOf({0, depth});
  AffineMap written = matrix ? mapOf({0, 1, column}) : mapOf({0, column});
  Value product =
      linalg::ContractOp::create(b, loc, type, ValueRange{args[1], weight}, ValueRange{sums},
                                 b.getAffineMapArrayAttr({left, mapOf({depth, column}), written}))
          ->getResult(0);

  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<Value> operands{product, args[2]};
  SmallVector<AffineMap> maps{all, AffineMap::get(rank, 0, b.getAffineDimExpr(column))};
  if (adds) {
    operands.push_back(args[3]);
    maps.push_back(all);
  }
  maps.push_back(all);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  Value init = tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
  Value result = linalg::GenericOp::create(b, loc, type, operands, init, maps, loops,
                                           [&](OpBuilder &body, Location at, ValueRange in) {
                                             Value x =
                                                 arith::AddFOp::create(body, at, in[0], in[1]);
                                             if (then == Then::Gelu)
                                               x = gelu(body, at, x);
                                             else if (adds)
                                               x = arith::AddFOp::create(body, at, x, in[2]);
                                             linalg::YieldOp::create(body, at, x);
                                           })
                     .getResult(0);
  yield(heads ? split(result, rows, n, heads) : result);
  BuiltKernel built{kernel, {0, 2}, "gemm"};
  if (then == Then::Table)
    built.weights.push_back(3);
  return built;
}

BuiltKernel KernelRegions::norm(int64_t rows, int64_t width, bool mean) {
  constexpr double kEpsilon = 1e-5f; // ONNX's default
  RankedTensorType type = f32({1, rows, width});
  RankedTensorType result = mean ? f32({1, width}) : type;
  KernelOp kernel = begin({type, f32({width}), f32({width})}, result);
  auto args = kernel.getInputArgs();
  Value x = NormOp::create(b, loc, args[0], args[1], args[2], NormKind::Layer, /*axis=*/2, kEpsilon)
                .getResult();
  if (mean) {
    auto parallel = utils::IteratorType::parallel, reduction = utils::IteratorType::reduction;
    AffineMap columns = AffineMap::getMultiDimMapWithTargets(3, {0, 2}, b.getContext());
    Value sum =
        linalg::GenericOp::create(
            b, loc, result, x, zeros(result.getShape()), {b.getMultiDimIdentityMap(3), columns},
            ArrayRef<utils::IteratorType>{parallel, reduction, parallel},
            [](OpBuilder &body, Location at, ValueRange in) {
              linalg::YieldOp::create(body, at,
                                      arith::AddFOp::create(body, at, in[1], in[0]).getResult());
            })
            .getResult(0);
    Value count = number(rows);
    AffineMap all = b.getMultiDimIdentityMap(2);
    Value init = tensor::EmptyOp::create(b, loc, result.getShape(), b.getF32Type());
    x = linalg::GenericOp::create(b, loc, result, sum, init, {all, all},
                                  ArrayRef<utils::IteratorType>{parallel, parallel},
                                  [&](OpBuilder &body, Location at, ValueRange in) {
                                    linalg::YieldOp::create(
                                        body, at,
                                        arith::DivFOp::create(body, at, in[0], count).getResult());
                                  })
            .getResult(0);
  }
  yield(x);
  return {kernel, {1, 2}, {}};
}

Value KernelRegions::part(Value packed, int64_t number, int64_t rows, int64_t width, int64_t heads,
                          bool flat) {
  auto indices = [&](ArrayRef<int64_t> values) {
    return getAsIndexOpFoldResult(b.getContext(), values);
  };
  Value slice = tensor::ExtractSliceOp::create(b, loc, packed, indices({0, 0, number * width}),
                                               indices({1, rows, width}), indices({1, 1, 1}));
  if (!flat)
    return split(slice, rows, width, heads);
  int64_t each = width / heads;
  Value parted = tensor::ExpandShapeOp::create(b, loc, f32({1, rows, heads, each}), slice,
                                               ArrayRef<ReassociationIndices>{{0}, {1}, {2, 3}});
  SmallVector<ReassociationIndices> batch{{0, 1}, {2}, {3}};
  Value rest = tensor::CollapseShapeOp::create(b, loc, parted, batch);
  return tensor::ExpandShapeOp::create(b, loc, f32({1, heads, rows, each}),
                                       transpose(rest, {1, 0, 2}), batch);
}

Value KernelRegions::split(Value x, int64_t rows, int64_t width, int64_t heads) {
  Value parts = tensor::ExpandShapeOp::create(b, loc, f32({1, rows, heads, width / heads}), x,
                                              ArrayRef<ReassociationIndices>{{0}, {1}, {2, 3}});
  return transpose(parts, {0, 2, 1, 3});
}

Value KernelRegions::scale(int64_t channels) {
  return number(1 / std::sqrt(static_cast<float>(channels)));
}

/// Which keys j a query i sees.
void KernelRegions::addMask(AttentionOp op, int64_t reach, bool causal) {
  OpBuilder body(b.getContext());
  AttentionOp::RegionArgs in = op.addMask(body);
  body.setInsertionPointToStart(in.i.getParentBlock());
  auto shifted = [&](int64_t by) -> Value {
    Value distance = arith::ConstantIndexOp::create(body, loc, by);
    return arith::AddIOp::create(body, loc, in.i, distance);
  };
  Value seen = arith::CmpIOp::create(body, loc, arith::CmpIPredicate::sle, in.j,
                                     causal ? in.i : shifted(reach));
  if (reach > 0) {
    Value above =
        arith::CmpIOp::create(body, loc, arith::CmpIPredicate::sge, in.j, shifted(-reach));
    seen = arith::AndIOp::create(body, loc, seen, above);
  }
  YieldOp::create(body, loc, seen);
}

BuiltKernel KernelRegions::attention(int64_t rows, int64_t width, int64_t heads, int64_t reach,
                                     bool causal) {
  int64_t each = width / heads;
  KernelOp kernel = begin({f32({1, rows, 3 * width})}, f32({1, rows, heads, each}));
  Value packed = kernel.getInputArgs().front();
  // The band is read from a mask that is spelled out, with products as heads of a batch.
  bool flat = reach > 0;
  Value v = part(packed, 2, rows, width, heads, flat);
  Value k = part(packed, 1, rows, width, heads, flat);
  Value q = part(packed, 0, rows, width, heads, flat);
  auto op = AttentionOp::create(b, loc, q.getType(), q, k, v, scale(each),
                                /*captures=*/ValueRange());
  if (reach > 0 || causal)
    addMask(op, reach, causal);
  yield(transpose(op.getResult(), {0, 2, 1, 3}));
  return {kernel, {}, {}};
}

BuiltKernel KernelRegions::cross(int64_t rows, int64_t width, int64_t heads, int64_t sources,
                                 int64_t packed) {
  int64_t each = width / heads;
  KernelOp kernel =
      begin({f32({1, sources, packed}), f32({1, heads, rows, each})}, f32({1, rows, heads, each}));
  auto args = kernel.getInputArgs();
  Value v = part(args[0], 1, sources, width, heads, /*flat=*/false);
  Value k = part(args[0], 0, sources, width, heads, /*flat=*/false);
  auto op = AttentionOp::create(b, loc, args[1].getType(), args[1], k, v, scale(each),
                                /*captures=*/ValueRange());
  yield(transpose(op.getResult(), {0, 2, 1, 3}));
  return {kernel, {}, {}};
}

/// As the rewrite stage does for static sizes (ChooseForms).
void KernelRegions::chooseForm(FormOpInterface op) {
  SmallVector<Form> forms = op.getForms();
  llvm::erase(forms, Form::Fft);
  op.setForm(*llvm::min_element(
      forms, [&](Form a, Form b) { return prices.seconds(op, a) < prices.seconds(op, b); }));
}

BuiltKernel KernelRegions::linearAttention(int64_t rows, int64_t width, int64_t heads,
                                           bool causal) {
  int64_t each = width / heads;
  constexpr double kEpsilon = 1e-6f;
  KernelOp kernel = begin({f32({1, rows, 3 * width})}, f32({rows, heads, each}));
  Value packed = kernel.getInputArgs()[0];
  Value v = part(packed, 2, rows, width, heads, /*flat=*/true);
  Value k = part(packed, 1, rows, width, heads, /*flat=*/true);
  Value q = part(packed, 0, rows, width, heads, /*flat=*/true);
  auto op = LinearAttentionOp::create(b, loc, q.getType(), q, k, v,
                                      causal ? Direction::Causal : Direction::Bidirectional);
  op.setNorm(Weighting::Sum);
  op.setEpsAttr(b.getF64FloatAttr(kEpsilon));
  for (Region *region : {&op.getPhiQ(), &op.getPhiK()}) {
    OpBuilder body(b.getContext());
    Value x = op.addMap(body, *region);
    body.setInsertionPointToStart(&region->front());
    Value zero = arith::ConstantOp::create(body, loc, body.getF32FloatAttr(0));
    YieldOp::create(body, loc, arith::MaximumFOp::create(body, loc, x, zero).getResult());
  }
  chooseForm(op);
  SmallVector<ReassociationIndices> batch{{0, 1}, {2}, {3}};
  Value flat = tensor::CollapseShapeOp::create(b, loc, op.getResult(), batch);
  yield(transpose(flat, {1, 0, 2}));
  return {kernel, {}, {}};
}

} // namespace attune::search
