#include "attune/codegen/cpu/GemmMicro.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace attune::codegen {

/// Zen takes 512 bits in two halves: for distances, whose operations go to units of both kinds, it
/// is better at scheduling the halves itself.
static int64_t lanesOf(const CpuTarget &target, GemmTerm term) {
  bool halves = term == GemmTerm::Distance && StringRef(target.cpu).starts_with("znver");
  return halves ? std::min<int64_t>(8, target.lanes()) : target.lanes();
}

GemmTile GemmTile::of(const CpuTarget &target, GemmTerm term) {
  bool distance = term == GemmTerm::Distance;
  int64_t bits = 32 * lanesOf(target, term);
  if (bits >= 512)
    return distance ? GemmTile{8, 2} : GemmTile{14, 2};
  if (bits >= 256)
    return {distance ? 5 : 6, 1};
  return {target.registers >= 32 ? 4 : 2, 1};
}

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

/// 1 in all lanes, which LLVM does not know to be 1.
static Value opaqueOne(KernelBuilder &kb, int64_t lanes) {
  Value one = LLVM::InlineAsmOp::create(
                  kb.b, kb.loc, kb.f32(), kb.constF(1), /*asm_string=*/"", /*constraints=*/"=x,0",
                  /*has_side_effects=*/false, /*is_align_stack=*/false,
                  LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(), ArrayAttr())
                  .getRes();
  return kb.splat(one, lanes);
}

/// `sum` plus the term of `a` and `b`. A distance takes two additions; the first is a multiply-add
/// by `one`, whose units would be idle (Zen has two for each, Intel shares them).
static Value addTerm(KernelBuilder &kb, GemmTerm term, Value a, Value b, Value sum, Value one) {
  if (term != GemmTerm::Distance)
    return kb.fma(a, b, sum);
  Value difference = kb.target.fma ? kb.fma(b, one, arith::NegFOp::create(kb.b, kb.loc, a))
                                   : arith::SubFOp::create(kb.b, kb.loc, b, a).getResult();
  return arith::SubFOp::create(kb.b, kb.loc, sum, math::AbsFOp::create(kb.b, kb.loc, difference));
}

func::FuncOp gemmMicro(KernelBuilder &kb, ModuleOp module, int64_t rows, GemmTerm term) {
  bool int8 = term == GemmTerm::ProductI8;
  GemmTile tile = GemmTile::of(kb.target, term);
  int64_t lanes = lanesOf(kb.target, term);
  int64_t perPanel = kPanelColumns / lanes, vectors = perPanel * tile.panels;
  int64_t sets = accumulatorSets(rows, vectors);
  int64_t unroll = std::max<int64_t>(sets, rows * vectors > 16 ? 2 : 4);
  StringRef kind = term == GemmTerm::Distance ? "distance_" : int8 ? "i8_" : "f32_";
  std::string name = ("attune_gemm_" + kind).str() + std::to_string(rows);
  SmallVector<Type> inputs = {kb.ptr(), kb.ptr(),         kb.index(), kb.index(),
                              kb.ptr(), kb.b.getI1Type(), kb.ptr()};
  return sharedFunction(kb, module, name, inputs, [&](ValueRange args) {
    Value a = args[0], b = args[1], stride = args[2], depth = args[3], memory = args[4];
    Type i8 = kb.b.getI8Type();
    auto vec = [&] { return kb.vec(lanes); };
    auto loadB = [&](Value offset) -> Value {
      if (!int8)
        return kb.load(vec(), b, offset);
      Value narrow = kb.load(kb.vec(lanes, i8), b, offset);
      Value wide = arith::ExtSIOp::create(kb.b, kb.loc, kb.vec(lanes, kb.b.getI32Type()), narrow);
      return arith::SIToFPOp::create(kb.b, kb.loc, vec(), wide);
    };
    auto tileOffset = [&](int64_t row, int64_t vector) {
      return kb.idx(row * tile.columns() + vector * lanes);
    };
    SmallVector<Type> types(rows * vectors, vec());
    Values acc = kb.ifElse(
        args[5], types,
        [&] {
          Values loaded;
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t v = 0; v < vectors; ++v)
              loaded.push_back(kb.load(vec(), memory, tileOffset(i, v)));
          return loaded;
        },
        [&] { return Values(rows * vectors, kb.constF(0, vec())); });
    acc.append(rows * vectors * (sets - 1), kb.constF(0, vec()));

    Value one = term == GemmTerm::Distance ? opaqueOne(kb, lanes) : Value();
    auto steps = [&](Value k, ValueRange before, int64_t count) {
      Values next(before.begin(), before.end());
      for (int64_t s = 0; s < count; ++s) {
        Value at = kb.add(k, s);
        Type element = int8 ? i8 : kb.f32();
        kb.prefetch(args[6], kb.mul(at, kPanelColumns), element, 2);
        if (rows <= 4 && tile.panels > 1)
          kb.prefetch(args[6], kb.add(kb.mul(at, kPanelColumns), stride), element, 2);
        Values columns;
        for (int64_t v = 0; v < vectors; ++v) {
          Value offset = kb.add(kb.mul(at, kPanelColumns), v % perPanel * lanes);
          if (v >= perPanel)
            offset = kb.add(offset, kb.mul(stride, v / perPanel));
          columns.push_back(loadB(offset));
        }
        Value *set = &next[s % sets * rows * vectors];
        for (int64_t i = 0; i < rows; ++i) {
          Value x = kb.splat(kb.load(kb.f32(), a, kb.add(kb.mul(at, rows), i)), lanes);
          for (int64_t v = 0; v < vectors; ++v)
            set[i * vectors + v] = addTerm(kb, term, x, columns[v], set[i * vectors + v], one);
        }
      }
      return next;
    };
    Value bulk = kb.mul(kb.div(depth, unroll), unroll);
    acc = kb.forLoop(kb.idx(0), bulk, unroll, acc,
                     [&](Value k, ValueRange it) { return steps(k, it, unroll); });
    acc = kb.forLoop(bulk, depth, 1, acc, [&](Value k, ValueRange it) { return steps(k, it, 1); });

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

/// Transposes lanes x lanes vectors by log2(lanes) rounds of two-vector shuffles.
static Values transpose(KernelBuilder &kb, Values rows) {
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
      for (auto [i, column] : llvm::enumerate(transpose(kb, loaded)))
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
