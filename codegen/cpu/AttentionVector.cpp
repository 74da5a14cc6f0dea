#include "attune/codegen/cpu/AttentionVector.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;

namespace attune::codegen {

//===- Products
//-----------------------------------------------------------------------------------===//

Values TileProduct::run(KernelBuilder &kb, Values acc) const {
  constexpr int64_t kUnroll = 4;
  int64_t lanes = kb.lanes(), width = vectors * lanes;
  auto step = [&](Value k, Values acc) {
    Values row;
    for (int64_t v = 0; v < vectors; ++v)
      row.push_back(kb.load(kb.vec(), b, kb.add(kb.mul(k, width), v * lanes)));
    Value offset = kb.mul(k, aStep);
    for (auto [r, address] : llvm::enumerate(a)) {
      Value scalar = kb.splat(kb.load(kb.f32(), address, offset));
      for (int64_t v = 0; v < vectors; ++v)
        acc[r * vectors + v] = kb.fma(scalar, row[v], acc[r * vectors + v]);
    }
    return acc;
  };
  Value whole = kb.mul(kb.div(count, kUnroll), kUnroll);
  acc = kb.forLoop(kb.idx(0), whole, kUnroll, acc, [&](Value k, ValueRange in) {
    Values acc(in);
    for (int64_t u = 0; u < kUnroll; ++u)
      acc = step(kb.add(k, u), acc);
    return acc;
  });
  if (std::optional<int64_t> known = getConstantIntValue(count)) {
    for (int64_t k = *known / kUnroll * kUnroll; k < *known; ++k)
      acc = step(kb.idx(k), acc);
    return acc;
  }
  return kb.forLoop(whole, count, 1, acc,
                    [&](Value k, ValueRange in) { return step(k, Values(in)); });
}

//===- Elementwise
//--------------------------------------------------------------------------------===//

Value maxDroppingNaN(KernelBuilder &kb, Value x, Value y) {
  Value greater = arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OGT, x, y);
  return kb.select(greater, x, y);
}

Value expNonPositive(KernelBuilder &kb, Value x) {
  // exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. Adding 1.5 * 2^23 + 127 leaves the
  // biased exponent of 2^n in the low bits of the sum; at the clamp it is 0, and so is the result.
  // The polynomial is minimax in relative error (9.4e-8) with the constant term fixed at 1.
  constexpr double kMagic = 12582912.0 + 127.0;
  constexpr double kLn2Hi = 0.693145751953125, kLn2Lo = 1.428606765330187e-06;
  constexpr double kPoly[] = {0.008290299214422703, 0.041897982358932495, 0.1666763722896576,
                              0.4999914765357971,   0.9999997019767761,   1.0};
  auto type = cast<VectorType>(x.getType());
  auto constant = [&](double value) { return kb.constF(value, type); };
  // The order of the maximum keeps NaN.
  Value low = constant(-88.0);
  x = kb.select(arith::CmpFOp::create(kb.b, kb.loc, arith::CmpFPredicate::OGT, low, x), low, x);
  Value t = kb.fma(x, constant(1.4426950408889634), constant(kMagic));
  Value n = arith::SubFOp::create(kb.b, kb.loc, t, constant(kMagic));
  Value r = kb.fma(n, constant(-kLn2Hi), x);
  r = kb.fma(n, constant(-kLn2Lo), r);
  Value p = constant(kPoly[0]);
  for (double c : llvm::drop_begin(kPoly))
    p = kb.fma(p, r, constant(c));
  auto bits = VectorType::get(type.getShape(), kb.b.getI32Type());
  Value exponent = arith::ShLIOp::create(
      kb.b, kb.loc, arith::BitcastOp::create(kb.b, kb.loc, bits, t), kb.constI(23, bits));
  Value power = arith::BitcastOp::create(kb.b, kb.loc, type, exponent);
  return arith::MulFOp::create(kb.b, kb.loc, p, power);
}

static Type withElement(Type type, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? Type(VectorType::get(vector.getShape(), element)) : element;
}

Value toF32(KernelBuilder &kb, Value x) {
  Type element = getElementTypeOrSelf(x.getType());
  Type type = withElement(x.getType(), kb.f32());
  if (element.isF32())
    return x;
  if (isa<IntegerType>(element))
    return arith::UIToFPOp::create(kb.b, kb.loc, type, x);
  if (element.getIntOrFloatBitWidth() > 32)
    return arith::TruncFOp::create(kb.b, kb.loc, type, x);
  return arith::ExtFOp::create(kb.b, kb.loc, type, x);
}

Value fromF32(KernelBuilder &kb, Value x, Type element) {
  Type type = withElement(x.getType(), element);
  if (element.isF32())
    return x;
  if (element.getIntOrFloatBitWidth() > 32)
    return arith::ExtFOp::create(kb.b, kb.loc, type, x);
  return arith::TruncFOp::create(kb.b, kb.loc, type, x);
}

//===- Transposes
//---------------------------------------------------------------------------------===//

/// Lane l of the result is lane pick(l) of [x, y] laid end to end.
static Value shuffle(KernelBuilder &kb, Value x, Value y,
                     llvm::function_ref<int64_t(int64_t)> pick) {
  int64_t lanes = cast<VectorType>(x.getType()).getNumElements();
  SmallVector<int64_t> mask;
  for (int64_t lane = 0; lane < lanes; ++lane)
    mask.push_back(pick(lane));
  return vector::ShuffleOp::create(kb.b, kb.loc, x, y, mask);
}

Values transpose(KernelBuilder &kb, ValueRange rows) {
  int64_t lanes = rows.size();
  Values v(rows);
  // 4 x 4 blocks within 128 bits first, since x86 shuffles best there; afterwards v[4g + c] holds,
  // in its 128-bit block k, rows 4g .. 4g + 3 of column 4k + c.
  for (int64_t g = 0; g + 4 <= lanes; g += 4) {
    auto unpack = [&](Value x, Value y, int64_t half) {
      return shuffle(kb, x, y, [&](int64_t l) {
        return l / 4 * 4 + half * 2 + l % 4 / 2 + (l % 2 ? lanes : 0);
      });
    };
    auto join = [&](Value x, Value y, int64_t half) {
      return shuffle(kb, x, y, [&](int64_t l) {
        return l / 4 * 4 + half * 2 + l % 2 + (l % 4 / 2 ? lanes : 0);
      });
    };
    Value t0 = unpack(v[g], v[g + 1], 0), t1 = unpack(v[g], v[g + 1], 1);
    Value t2 = unpack(v[g + 2], v[g + 3], 0), t3 = unpack(v[g + 2], v[g + 3], 1);
    v[g] = join(t0, t2, 0);
    v[g + 1] = join(t0, t2, 1);
    v[g + 2] = join(t1, t3, 0);
    v[g + 3] = join(t1, t3, 1);
  }
  // Then blocks of 128 bits between the groups of four rows.
  for (int64_t h = lanes / 8; h >= 1; h /= 2)
    for (int64_t g = 0; g < lanes / 4; ++g) {
      if (g & h)
        continue;
      for (int64_t c = 0; c < 4; ++c) {
        Value &x = v[4 * g + c], &y = v[4 * (g + h) + c];
        Value low =
            shuffle(kb, x, y, [&](int64_t l) { return (l / 4 & h) ? lanes + l - 4 * h : l; });
        Value high =
            shuffle(kb, x, y, [&](int64_t l) { return (l / 4 & h) ? lanes + l : l + 4 * h; });
        x = low;
        y = high;
      }
    }
  return v;
}

bool isStride(Value stride, int64_t value) {
  return stride && getConstantIntValue(stride) == value;
}

/// Calls `body(first, count)` for groups of `lanes` columns; a null count stands for all of them.
/// A short last group moves back over columns already done where their number is known to allow it.
static void forColumnGroups(KernelBuilder &kb, Value columns,
                            llvm::function_ref<void(Value first, Value count)> body) {
  int64_t lanes = kb.lanes();
  std::optional<int64_t> known = getConstantIntValue(columns);
  if (!known) {
    Value whole = kb.mul(kb.div(columns, lanes), lanes);
    kb.forLoop(kb.idx(0), whole, lanes, [&](Value first) { body(first, {}); });
    return kb.ifThen(kb.lt(whole, columns), [&] { body(whole, kb.sub(columns, whole)); });
  }
  if (*known < lanes)
    return body(kb.idx(0), columns);
  kb.forLoop(kb.idx(0), kb.idx(llvm::divideCeil(*known, lanes)), 1, [&](Value group) {
    Value first = kb.mul(group, lanes);
    body(*known % lanes ? kb.min(first, kb.idx(*known - lanes)) : first, {});
  });
}

void loadPanel(KernelBuilder &kb, const PanelMatrix &m, Value panel, PanelCombine combine) {
  int64_t lanes = kb.lanes();
  Value last = kb.sub(m.rows, kb.idx(1));
  auto rowOffset = [&](Value row) { return kb.mul(kb.min(row, last), m.rowStride); };
  if (isStride(m.rowStride, 0)) {
    kb.forLoop(kb.idx(0), m.columns, 1, [&](Value column) {
      Value x = toF32(kb, kb.load(m.element, m.address, kb.mul(column, m.columnStride)));
      for (int64_t v = 0; v < m.width; v += lanes)
        combine(kb.splat(x), kb.gep(panel, kb.add(kb.mul(column, m.width), v), kb.f32()));
    });
    return;
  }
  kb.forLoop(kb.idx(0), kb.idx(m.width), lanes, [&](Value row) {
    Values offsets;
    for (int64_t l = 0; l < lanes; ++l)
      offsets.push_back(rowOffset(kb.add(row, l)));
    if (isStride(m.columnStride, 1)) {
      forColumnGroups(kb, m.columns, [&](Value first, Value count) {
        auto type = kb.vec(kb.lanes(), m.element);
        Values rows;
        for (Value offset : offsets) {
          Value at = kb.add(offset, first);
          rows.push_back(toF32(kb, count ? kb.loadPartial(type, m.address, at, count)
                                         : kb.load(type, m.address, at)));
        }
        // Columns past the end only where the panel has room for them.
        std::optional<int64_t> known = count ? getConstantIntValue(count) : std::nullopt;
        for (auto [c, x] : llvm::enumerate(transpose(kb, rows)))
          if (!known || static_cast<int64_t>(c) < *known)
            combine(x, kb.gep(panel, kb.add(kb.mul(kb.add(first, c), m.width), row), kb.f32()));
      });
      return;
    }
    kb.forLoop(kb.idx(0), m.columns, 1, [&](Value column) {
      Value x = kb.constF(0, kb.vec());
      Value at = kb.mul(column, m.columnStride);
      for (auto [l, offset] : llvm::enumerate(offsets)) {
        Value element = toF32(kb, kb.load(m.element, m.address, kb.add(offset, at)));
        x = vector::InsertOp::create(kb.b, kb.loc, element, x, ArrayRef<int64_t>{int64_t(l)});
      }
      combine(x, kb.gep(panel, kb.add(kb.mul(column, m.width), row), kb.f32()));
    });
  });
}

void storePanel(KernelBuilder &kb, const PanelMatrix &m, Value panel,
                llvm::function_ref<Value(Value place, Value row)> value) {
  int64_t lanes = kb.lanes();
  auto read = [&](Value column, Value row) {
    return value(kb.gep(panel, kb.add(kb.mul(column, m.width), row), kb.f32()), row);
  };
  kb.forLoop(kb.idx(0), kb.roundUp(m.rows, lanes), lanes, [&](Value row) {
    if (isStride(m.columnStride, 1)) {
      forColumnGroups(kb, m.columns, [&](Value first, Value count) {
        std::optional<int64_t> known = count ? getConstantIntValue(count) : std::nullopt;
        Values columns;
        for (int64_t c = 0; c < lanes; ++c)
          columns.push_back(known && c >= *known ? kb.constF(0, kb.vec())
                                                 : read(kb.add(first, c), row));
        for (auto [l, x] : llvm::enumerate(transpose(kb, columns))) {
          Value r = kb.add(row, l);
          kb.ifThen(kb.lt(r, m.rows), [&] {
            Value at = kb.add(kb.mul(r, m.rowStride), first);
            Value out = fromF32(kb, x, m.element);
            if (count)
              kb.storePartial(out, m.address, at, count);
            else
              kb.store(out, m.address, at);
          });
        }
      });
      return;
    }
    kb.forLoop(kb.idx(0), m.columns, 1, [&](Value column) {
      Value x = fromF32(kb, read(column, row), m.element);
      Value at = kb.mul(column, m.columnStride);
      for (int64_t l = 0; l < lanes; ++l) {
        Value r = kb.add(row, l);
        kb.ifThen(kb.lt(r, m.rows), [&] {
          Value element = vector::ExtractOp::create(kb.b, kb.loc, x, ArrayRef<int64_t>{l});
          kb.store(element, m.address, kb.add(kb.mul(r, m.rowStride), at));
        });
      }
    });
  });
}

} // namespace attune::codegen
