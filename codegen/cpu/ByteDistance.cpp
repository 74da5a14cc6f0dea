#include "attune/codegen/cpu/ByteDistance.h"

#include "attune/codegen/cpu/BytePack.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

using namespace mlir;

namespace attune::codegen {

bool sumsBytes(const CpuTarget &) {
  return llvm::Triple(llvm::sys::getDefaultTargetTriple()).isX86();
}

namespace {

constexpr int64_t kPanelStep = kPanelColumns * kByteGroup; ///< bytes of a panel per group

/// The register tile: a 64-bit sum for each of its elements, the B vectors, one group of A and the
/// distances.
struct Tile {
  int64_t rows, columns;
  static Tile of(const CpuTarget &target) {
    if (target.vectorBits >= 512)
      return {6, 32};
    return target.vectorBits >= 256 ? Tile{6, 8} : Tile{4, 4};
  }
};

/// The sums of the distances of eight neighbouring bytes.
Value distances(KernelBuilder &kb, Value a, Value b) {
  auto type = cast<VectorType>(a.getType());
  int64_t bits = 8 * type.getNumElements();
  StringRef name = bits == 512   ? "llvm.x86.avx512.psad.bw.512"
                   : bits == 256 ? "llvm.x86.avx2.psad.bw"
                                 : "llvm.x86.sse2.psad.bw";
  return LLVM::CallIntrinsicOp::create(kb.b, kb.loc, kb.vec(bits / 64, kb.b.getI64Type()),
                                       kb.b.getStringAttr(name), ValueRange{a, b})
      .getResults();
}

/// tile = -sum over groups of the distances of `rows` rows and the tile's columns. Arguments: A,
/// B, bytes between B panels, groups, tile (i32).
func::FuncOp microKernel(KernelBuilder &kb, ModuleOp module, int64_t rows) {
  Tile tile = Tile::of(kb.target);
  int64_t bytes = kb.target.vectorBits / 8, lanes = bytes / kByteGroup;
  int64_t vectors = tile.columns / lanes;
  SmallVector<Type> inputs = {kb.ptr(), kb.ptr(), kb.index(), kb.index(), kb.ptr()};
  std::string name = "attune_byte_distance_" + std::to_string(rows);
  return sharedFunction(kb, module, name, inputs, [&](ValueRange args) {
    Type i8 = kb.b.getI8Type(), i32 = kb.b.getI32Type(), i64 = kb.b.getI64Type();
    Value none = kb.constI(0, kb.vec(lanes, i64));
    Values sums(rows * vectors, none);
    sums = kb.forLoop(kb.idx(0), args[3], 1, sums, [&](Value group, ValueRange before) {
      Values next(before.begin(), before.end());
      Value place = kb.mul(group, kPanelStep);
      Values columns;
      for (int64_t v = 0; v < vectors; ++v) {
        int64_t panel = v * lanes / kPanelColumns, inside = v * lanes % kPanelColumns;
        Value at = kb.add(place, inside * kByteGroup);
        if (panel)
          at = kb.add(at, kb.mul(args[2], panel));
        columns.push_back(kb.load(kb.vec(bytes, i8), args[1], at));
      }
      for (int64_t i = 0; i < rows; ++i) {
        Value x = kb.splat(kb.load(i64, args[0], kb.add(kb.mul(group, rows), i)), lanes);
        x = vector::BitCastOp::create(kb.b, kb.loc, kb.vec(bytes, i8), x);
        for (int64_t v = 0; v < vectors; ++v) {
          Value &sum = next[i * vectors + v];
          sum = arith::AddIOp::create(kb.b, kb.loc, sum, distances(kb, x, columns[v]));
        }
      }
      return next;
    });
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t v = 0; v < vectors; ++v) {
        Value sum =
            arith::TruncIOp::create(kb.b, kb.loc, kb.vec(lanes, i32), sums[i * vectors + v]);
        Value zero = kb.constI(0, kb.vec(lanes, i32));
        kb.store(arith::SubIOp::create(kb.b, kb.loc, zero, sum), args[4],
                 kb.idx(i * tile.columns + v * lanes));
      }
  });
}

class Emitter {
public:
  Emitter(KernelBuilder &kb, ModuleOp module, StringRef symbol, const GemmSpec &spec)
      : kb(kb), module(module), symbol(symbol), spec(spec), tile(Tile::of(kb.target)),
        i8(kb.b.getI8Type()) {}

  void emit() {
    func::FuncOp task =
        kb.task(module, symbol.str() + "_add", [&](const KernelArgs &args) { return run(args); });
    kb.kernel(module, symbol, [&](const KernelArgs &args) {
      GemmOperands g = bind(args);
      kb.forLoop(kb.idx(0), kb.threads(args), 1, [&](Value worker) {
        kb.store(kb.constI(-1, kb.b.getI64Type()), ownScratch(g, worker));
      });
      return kb.parallelFor(args, split(g).tasks, task);
    });
  }

  static constexpr int64_t kTagBytes = 64; ///< what a worker's panels hold
  static constexpr int64_t kTaskColumns = 256;
  static constexpr int64_t kTasks = 12;    ///< wanted at least: two threads end together within 8 %
  static constexpr int64_t kRowPlaces = 8; ///< of packed rows, so that panels are aligned

private:
  GemmOperands bind(const KernelArgs &args) {
    GemmOperands g = spec.bind(kb, args);
    if (!g.batch)
      g.batch = kb.idx(1);
    return g;
  }
  Value batchOffset(const std::function<Value(Value)> &offset, Value batch) {
    return offset ? offset(batch) : kb.idx(0);
  }

  /// How one problem falls into tasks: columns that stay in a core's cache, and blocks of rows.
  struct Split {
    Value rowTiles, groups, rowBlocks, tasks;
  };
  Split split(const GemmOperands &g) {
    Split s;
    s.rowTiles = kb.ceilDiv(g.m, tile.rows);
    s.groups = kb.ceilDiv(g.n, kTaskColumns);
    Value columnTasks = kb.mul(g.batch, s.groups);
    Value most = kb.max(columnTasks, kb.idx(1));
    Value wanted = kb.div(kb.sub(kb.add(most, kTasks), kb.idx(1)), most);
    s.rowBlocks = kb.min(wanted, kb.ceilDiv(s.rowTiles, 2));
    s.tasks = kb.mul(columnTasks, s.rowBlocks);
    return s;
  }
  /// The first row of a row tile; tiles differ by at most one row.
  Value tileStart(const GemmOperands &g, Value number, Value tiles) {
    return kb.div(kb.mul(number, g.m), tiles);
  }

  Value depthOf(const GemmOperands &g) { return kb.roundUp(g.k, kByteGroup); }
  Value ownScratch(const GemmOperands &g, Value worker) {
    int64_t packed = spec.columns == GemmColumns::Strided ? kTaskColumns : 0;
    Value own = kb.add(kb.mul(depthOf(g), packed + kRowPlaces), kTagBytes);
    return kb.gep(g.work, kb.mul(worker, own), i8);
  }

  Value run(const KernelArgs &args) {
    Value count =
        arith::ConstantOp::create(kb.b, kb.loc, kb.b.getI64IntegerAttr(tile.rows * tile.columns));
    Value memory = LLVM::AllocaOp::create(kb.b, kb.loc, kb.ptr(), kb.b.getI32Type(), count, 64);
    BytePacker packer(kb, kPanelColumns);
    GemmOperands g = bind(args);
    Split s = split(g);
    // Consecutive tasks share their columns.
    Value block = kb.rem(args.task, s.rowBlocks), rest = kb.div(args.task, s.rowBlocks);
    Value group = kb.rem(rest, s.groups), batch = kb.div(rest, s.groups);
    Value firstColumn = kb.mul(group, kTaskColumns);
    Value lastColumn = kb.min(kb.add(firstColumn, kTaskColumns), g.n);
    Value tags = ownScratch(g, args.worker), rows = kb.gep(tags, kb.idx(kTagBytes), i8);
    Value panels = kb.gep(rows, kb.mul(depthOf(g), kRowPlaces), i8);
    if (spec.columns == GemmColumns::Strided)
      packColumns(g, packer, batch, rest, firstColumn, lastColumn, tags, panels);
    else
      panels =
          kb.gep(g.b, kb.add(batchOffset(g.bOffset, batch), kb.mul(depthOf(g), firstColumn)), i8);
    Value source = kb.gep(g.a, batchOffset(g.aOffset, batch), i8);
    Value firstTile = kb.div(kb.mul(block, s.rowTiles), s.rowBlocks);
    Value lastTile = kb.div(kb.mul(kb.add(block, 1), s.rowTiles), s.rowBlocks);
    kb.forLoop(firstTile, lastTile, 1, [&](Value number) {
      Value row = tileStart(g, number, s.rowTiles);
      Value end = tileStart(g, kb.add(number, 1), s.rowTiles), height = kb.sub(end, row);
      packer.pack(source, g.aRows, g.aDepth, g.k, row, end, rows, height);
      kb.forLoop(firstColumn, lastColumn, tile.columns, [&](Value column) {
        sumTile(g, rows, panels, kb.sub(column, firstColumn), column, height, memory);
        epilogue(g, batch, row, column, height, memory);
      });
    });
    return g.status ? g.status() : Value();
  }

  /// Columns of a group, unless this worker's previous task left them.
  void packColumns(const GemmOperands &g, BytePacker &packer, Value batch, Value wanted,
                   Value firstColumn, Value lastColumn, Value tags, Value panels) {
    Type i64 = kb.b.getI64Type();
    Value tag = arith::IndexCastOp::create(kb.b, kb.loc, i64, wanted);
    kb.ifThen(kb.cmp(arith::CmpIPredicate::ne, kb.load(i64, tags), tag), [&] {
      Value source = kb.gep(g.b, batchOffset(g.bOffset, batch), i8);
      kb.forLoop(firstColumn, lastColumn, kPanelColumns, [&](Value column) {
        Value place = kb.mul(kb.sub(column, firstColumn), depthOf(g));
        packer.packPanel(source, g.bColumns, g.bDepth, g.k, column, lastColumn,
                         kb.gep(panels, place, i8));
      });
      kb.store(tag, tags);
    });
  }

  /// `inside`: the first column, counted from that of the panels.
  void sumTile(const GemmOperands &g, Value rows, Value panels, Value inside, Value column,
               Value height, Value memory) {
    Value panel = kb.mul(depthOf(g), kPanelColumns), place = kb.mul(inside, depthOf(g));
    if (tile.columns < kPanelColumns) {
      Value part = kb.rem(inside, kb.idx(kPanelColumns));
      place = kb.add(kb.mul(kb.sub(inside, part), depthOf(g)), kb.mul(part, kByteGroup));
    }
    // A panel past the end of B is never read: the one before stands for it.
    Value stride = panel;
    if (tile.columns > kPanelColumns)
      stride = kb.select(kb.lt(kb.add(column, kPanelColumns), g.n), panel, kb.idx(0));
    Value groups = kb.div(depthOf(g), kByteGroup), b = kb.gep(panels, place, i8);
    kb.switchOn(height, tile.rows, [&](int64_t count) {
      func::CallOp::create(kb.b, kb.loc, microKernel(kb, module, count),
                           ValueRange{rows, b, stride, groups, memory});
    });
  }

  void epilogue(const GemmOperands &g, Value batch, Value row, Value column, Value height,
                Value memory) {
    int64_t lanes = kb.lanes();
    auto points = [&](bool whole) {
      kb.forLoop(kb.idx(0), height, 1, [&](Value i) {
        Value left = whole ? kb.idx(tile.columns) : kb.sub(g.n, column);
        kb.forLoop(kb.idx(0), left, lanes, [&](Value lane) {
          Value at = kb.add(kb.mul(i, tile.columns), lane);
          Value sums = kb.load(kb.vec(lanes, kb.b.getI32Type()), memory, at);
          Value partial = whole ? Value() : kb.min(kb.sub(left, lane), kb.idx(lanes));
          g.epilogue(kb, {sums, batch, kb.add(row, i), kb.add(column, lane), lanes, partial});
        });
      });
      return Values();
    };
    if (spec.n && *spec.n % tile.columns == 0)
      points(true);
    else if (spec.n && *spec.n < tile.columns)
      points(false);
    else
      kb.ifElse(
          kb.cmp(arith::CmpIPredicate::sle, kb.add(column, tile.columns), g.n), {},
          [&] { return points(true); }, [&] { return points(false); });
  }

  KernelBuilder &kb;
  ModuleOp module;
  StringRef symbol;
  const GemmSpec &spec;
  Tile tile;
  Type i8;
};

} // namespace

GemmScratch byteDistanceScratch(const GemmSpec &spec, const CpuTarget &) {
  GemmScratch scratch;
  scratch.perDepth = Emitter::kRowPlaces;
  if (spec.columns == GemmColumns::Strided)
    scratch.perDepth += Emitter::kTaskColumns;
  scratch.fixed = Emitter::kTagBytes + (kByteGroup - 1) * scratch.perDepth;
  return scratch;
}

void emitByteDistance(KernelBuilder &kb, ModuleOp module, StringRef symbol, const GemmSpec &spec) {
  Emitter(kb, module, symbol, spec).emit();
}

} // namespace attune::codegen
