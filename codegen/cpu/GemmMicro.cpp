#include "attune/codegen/cpu/GemmMicro.h"

#include "attune/codegen/cpu/GemmColumns.h"
#include "attune/codegen/cpu/GemmTables.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <numeric>

using namespace mlir;

namespace attune::codegen {

func::FuncOp sharedFunction(KernelBuilder &kb, ModuleOp module, StringRef name,
                            ArrayRef<Type> inputs, llvm::function_ref<void(ValueRange)> body) {
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  OpBuilder::InsertionGuard guard(kb.b);
  kb.b.setInsertionPointToEnd(module.getBody());
  auto func = func::FuncOp::create(kb.b, kb.loc, name, kb.b.getFunctionType(inputs, TypeRange()));
  func.setPrivate();
  func->setAttr("passthrough", kb.b.getStrArrayAttr({"noinline"}));
  for (auto [index, type] : llvm::enumerate(inputs))
    if (isa<LLVM::LLVMPointerType>(type))
      func.setArgAttr(index, LLVM::LLVMDialect::getNoAliasAttrName(), kb.b.getUnitAttr());
  kb.b.setInsertionPointToStart(func.addEntryBlock());
  body(func.getArguments());
  func::ReturnOp::create(kb.b, kb.loc);
  return func;
}

/// Accumulators that keep both multiply-add units busy: they need about 10 in flight.
static int64_t accumulatorSets(int64_t rows, int64_t vectors) {
  int64_t sets = 1;
  while (sets < 4 && rows * vectors * sets < 8)
    sets *= 2;
  return sets;
}

/// A scalar or vector that LLVM knows nothing about.
static Value opaque(KernelBuilder &kb, Value value) {
  bool manyRegisters = kb.target.registers >= 32;
  return LLVM::InlineAsmOp::create(kb.b, kb.loc, value.getType(), value, /*asm_string=*/"",
                                   /*constraints=*/manyRegisters ? "=v,0" : "=x,0",
                                   /*has_side_effects=*/false,
                                   /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
                                   LLVM::AsmDialectAttr(), ArrayAttr())
      .getRes();
}

/// `sum` plus the term of `a` and `b`. A distance takes two additions; the first is a multiply-add
/// by `one`, whose units would be idle (Zen has two for each, Intel shares them).
static Value addTerm(KernelBuilder &kb, GemmTerm term, ValueRange row, Value b, Value sum,
                     Value one) {
  if (isShift(term)) {
    // LLVM would add the terms of several steps first, and keep them all until then.
    Value found = lookUp(kb, codeBits(term), SmallVector<Value>(row), b);
    return opaque(kb, arith::AddIOp::create(kb.b, kb.loc, sum, found));
  }
  Value a = row.front();
  if (term != GemmTerm::Distance)
    return kb.fma(a, b, sum);
  Value difference = kb.target.fma ? kb.fma(b, one, arith::NegFOp::create(kb.b, kb.loc, a))
                                   : arith::SubFOp::create(kb.b, kb.loc, b, a).getResult();
  return arith::SubFOp::create(kb.b, kb.loc, sum, math::AbsFOp::create(kb.b, kb.loc, difference));
}

/// The part of a function's name that says what B is.
static std::string kindOf(GemmTerm term) {
  if (int64_t bits = codeBits(term))
    return (isShift(term) ? "shift" : "codes") + std::to_string(bits) + "_";
  return term == GemmTerm::Distance ? "distance_" : term == GemmTerm::ProductI8 ? "i8_" : "f32_";
}

func::FuncOp gemmMicro(KernelBuilder &kb, ModuleOp module, int64_t rows, GemmTerm term) {
  GemmTile tile = GemmTile::of(kb.target, term);
  int64_t lanes = GemmTile::lanes(kb.target, term);
  int64_t vectors = kPanelColumns / lanes * tile.panels;
  // Integers are added in one cycle and in any order.
  bool shift = isShift(term);
  int64_t sets = shift ? 1 : accumulatorSets(rows, vectors);
  int64_t unroll = shift ? 1 : std::max<int64_t>(sets, rows * vectors > 16 ? 2 : 4);
  std::string name = "attune_gemm_" + kindOf(term) + std::to_string(rows);
  SmallVector<Type> inputs = {kb.ptr(), kb.ptr(),         kb.index(), kb.index(),
                              kb.ptr(), kb.b.getI1Type(), kb.ptr()};
  if (codeBits(term))
    inputs.push_back(shift ? kb.index() : kb.f32());
  VectorType vec = kb.vec(lanes, shift ? Type(kb.b.getI32Type()) : kb.f32());
  return sharedFunction(kb, module, name, inputs, [&](ValueRange args) {
    Value a = args[0], depth = args[3], memory = args[4];
    ColumnReader columns(kb, term, tile.panels, args);
    Value zero = arith::ConstantOp::create(kb.b, kb.loc, kb.b.getZeroAttr(vec));
    auto tileOffset = [&](int64_t row, int64_t vector) {
      return kb.idx(row * tile.columns() + vector * lanes);
    };
    SmallVector<Type> types(rows * vectors, vec);
    Values acc = kb.ifElse(
        args[5], types,
        [&] {
          Values loaded;
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t v = 0; v < vectors; ++v)
              loaded.push_back(kb.load(vec, memory, tileOffset(i, v)));
          return loaded;
        },
        [&] { return Values(rows * vectors, zero); });
    acc.append(rows * vectors * (sets - 1), zero);

    Value one = term == GemmTerm::Distance ? kb.splat(opaque(kb, kb.constF(1)), lanes) : Value();
    auto steps = [&](Value k, ValueRange before, int64_t count, bool aligned) {
      Values next(before.begin(), before.end());
      for (int64_t s = 0; s < count; ++s) {
        columns.fetch(k, s, rows, aligned);
        Values b = columns.read(k, s, aligned);
        Value *set = &next[s % sets * rows * vectors];
        for (int64_t i = 0; i < rows; ++i) {
          Value at = kb.add(kb.mul(kb.add(k, s), rows), i);
          Values x = shift ? loadTable(kb, codeBits(term), a, at)
                           : Values{kb.splat(kb.load(kb.f32(), a, at), lanes)};
          for (int64_t v = 0; v < vectors; ++v)
            set[i * vectors + v] = addTerm(kb, term, x, b[v], set[i * vectors + v], one);
        }
      }
      return next;
    };
    // Whole words, then what an f32 panel has in whole turns of the sets, then single steps.
    Value done = kb.idx(0);
    auto loop = [&](int64_t count, bool aligned) {
      Value end = count == 1 ? depth : kb.mul(kb.div(depth, count), count);
      acc = kb.forLoop(done, end, count, acc,
                       [&](Value k, ValueRange it) { return steps(k, it, count, aligned); });
      done = end;
    };
    int64_t whole = std::lcm(unroll, columns.period());
    loop(whole, true);
    if (unroll > 1 && whole != unroll)
      loop(unroll, false);
    loop(1, false);

    for (int64_t i = 0; i < rows; ++i)
      for (int64_t v = 0; v < vectors; ++v) {
        Value sum = acc[i * vectors + v];
        for (int64_t set = 1; set < sets; ++set)
          sum = arith::AddFOp::create(kb.b, kb.loc, sum, acc[(set * rows + i) * vectors + v]);
        kb.store(sum, memory, tileOffset(i, v));
      }
  });
}

void callGemmMicro(KernelBuilder &kb, ModuleOp module, Value rows, GemmTerm term,
                   ValueRange arguments) {
  kb.switchOn(rows, GemmTile::of(kb.target, term).rows, [&](int64_t count) {
    func::CallOp::create(kb.b, kb.loc, gemmMicro(kb, module, count, term), arguments);
  });
}

Values transposeVectors(KernelBuilder &kb, Values rows) {
  int64_t lanes = rows.size();
  for (int64_t half = 1; half < lanes; half *= 2) {
    // Exchange the elements whose row and column differ in bit `half`.
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      low.push_back(lane & half ? lanes + lane - half : lane);
      high.push_back(lane & half ? lanes + lane : lane + half);
    }
    Values next(lanes);
    for (int64_t i = 0; i < lanes; ++i)
      if (!(i & half)) {
        next[i] = vector::ShuffleOp::create(kb.b, kb.loc, rows[i], rows[i + half], low);
        next[i + half] = vector::ShuffleOp::create(kb.b, kb.loc, rows[i], rows[i + half], high);
      }
    rows = next;
  }
  return rows;
}

func::FuncOp gemmTranspose(KernelBuilder &kb, ModuleOp module) {
  int64_t lanes = kb.lanes();
  SmallVector<Type> inputs = {kb.ptr(), kb.index(), kb.index(), kb.ptr(), kb.index()};
  return sharedFunction(kb, module, "attune_gemm_transpose", inputs, [&](ValueRange args) {
    Value first = args[1], count = args[2], dst = args[3], stride = args[4];
    Values rows;
    for (int64_t i = 0; i < lanes; ++i) {
      Value slot = kb.gep(args[0], kb.idx(i), kb.ptr());
      Value row = LLVM::LoadOp::create(kb.b, kb.loc, kb.ptr(), slot, 8);
      rows.push_back(kb.gep(row, first, kb.f32()));
    }
    Value bulk = kb.mul(kb.div(count, lanes), lanes);
    kb.forLoop(kb.idx(0), bulk, lanes, [&](Value k) {
      Values loaded;
      for (Value row : rows) {
        // More streams than the hardware follows.
        kb.prefetch(row, kb.add(k, 8 * lanes), kb.f32());
        loaded.push_back(kb.load(kb.vec(), row, k));
      }
      for (auto [i, column] : llvm::enumerate(transposeVectors(kb, loaded)))
        kb.store(column, dst, kb.mul(kb.add(k, i), stride));
    });
    kb.forLoop(bulk, count, 1, [&](Value k) {
      Value column = kb.constF(0, kb.vec());
      for (auto [i, row] : llvm::enumerate(rows))
        column = vector::InsertOp::create(kb.b, kb.loc, kb.load(kb.f32(), row, k), column,
                                          ArrayRef<int64_t>{static_cast<int64_t>(i)});
      kb.store(column, dst, kb.mul(k, stride));
    });
  });
}

func::FuncOp gemmWiden(KernelBuilder &kb, ModuleOp module) {
  SmallVector<Type> inputs = {kb.ptr(), kb.ptr(), kb.index()};
  return sharedFunction(kb, module, "attune_gemm_widen", inputs, [&](ValueRange args) {
    int64_t lanes = kb.lanes();
    Type i8 = kb.b.getI8Type();
    auto convert = [&](Value i) {
      Value narrow = kb.load(kb.vec(lanes, i8), args[0], i);
      Value wide = arith::ExtSIOp::create(kb.b, kb.loc, kb.vec(lanes, kb.b.getI32Type()), narrow);
      kb.store(arith::SIToFPOp::create(kb.b, kb.loc, kb.vec(), wide), args[1], i);
    };
    constexpr int64_t block = 64;
    Value bulk = kb.mul(kb.div(args[2], block), block);
    kb.forLoop(kb.idx(0), bulk, block, [&](Value i) {
      kb.prefetch(args[0], kb.add(i, 1024), i8);
      for (int64_t lane = 0; lane < block; lane += lanes)
        convert(kb.add(i, lane));
    });
    kb.forLoop(bulk, args[2], lanes, convert);
  });
}

} // namespace attune::codegen
